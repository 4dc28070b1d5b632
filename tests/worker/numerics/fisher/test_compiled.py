"""The compiled pass: what is written down for the compiler is the definition, and when it is not used, and why."""

from collections.abc import Callable, Sequence
from shutil import which

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.worker.numerics.fisher.test_estimate import the_mlp, the_resnet, the_vit
from tests.worker.numerics.fisher.zoo import CASES, CLASSES, Last, Through, examples, obvious, off
from tests.worker.numerics.recorder import Recorder
from worker.numerics.examples import TensorExamples
from worker.numerics.fisher import Accumulator, accumulator, estimate, fisher_diagonal, fused_cpu
from worker.numerics.fisher.estimate import pays
from worker.numerics.randomness import drawn_from
from worker.numerics.run import Cancelled

Program = Callable[..., object]


@pytest.fixture
def as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program as it is given to the compiler, run operation by operation."""

    def uncompiled(written: Program, arguments: Sequence[Tensor]) -> Program:
        assert all(type(t) is Tensor for t in arguments)
        return written

    monkeypatch.setattr("torch._inductor.compile", uncompiled)
    monkeypatch.setenv("CXX", "true")


@pytest.mark.usefixtures("as_written")
@pytest.mark.parametrize(("build", "shape"), [(the_mlp, (1, 6, 6)), (the_resnet, (3, 16, 16)), (the_vit, (3, 8, 8))])
def test_what_is_compiled_is_the_definition(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    network, data, run = build().double().eval(), examples(11, shape), Recorder()
    fisher = fisher_diagonal(network, data, run=run, batch_size=4, compiled=True)
    assert run.notes["fisher_by"] == "interception, compiled"
    assert off(dict(fisher.sums), obvious(network, data)) <= 1e-12


@pytest.mark.slow
@pytest.mark.skipif(which("g++") is None, reason="no C++ compiler")
def test_a_compiled_pass_is_the_definition(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with drawn_from(2):
        network = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), Last(), nn.Linear(6, CLASSES)).double().eval()
    data, run = examples(11, (3, 4)), Recorder()
    fisher = fisher_diagonal(network, data, run=run, batch_size=5, compiled=True)
    assert run.notes["fisher_by"] == "interception, compiled"
    assert off(dict(fisher.sums), obvious(network, data)) <= 1e-12


@pytest.mark.usefixtures("as_written")
def test_rows_that_are_looked_up_are_compiled_too() -> None:
    case = next(case for case in CASES if case.tokens)
    network, data = case.build().double().eval(), examples(8, case.shape, tokens=case.tokens)
    found = Accumulator(network, data.raw[:4], data.labels[:4])
    found.compile(data.raw[:4], data.labels[:4])
    added = TensorExamples(data.raw[4:], data.labels[4:], data.positions[4:])
    found.add(added.raw, added.labels)
    assert found.how == "interception, compiled"
    assert off(found.sums(), obvious(network, added)) <= 1e-12


@pytest.mark.usefixtures("as_written")
def test_a_network_that_looks_at_values_is_not_compiled() -> None:
    def either(self: Through, x: Tensor) -> Tensor:
        return functional.linear(x, self.own["w"] if x.sum() > 0 else -self.own["w"])

    network, data, run = Through(either, w=(4, 4)).double().eval(), examples(1, (4,)), Recorder()
    fisher = fisher_diagonal(network, data, run=run, compiled=True)
    assert str(run.notes["fisher_by"]).startswith("interception, not compiled (GuardOnDataDependentSymNode: ")
    assert off(dict(fisher.sums), obvious(network, data)) <= 1e-12


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    fused_cpu.kernel.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = Recorder()
    fisher_diagonal(the_mlp().eval(), examples(8, (1, 6, 6), dtype=torch.float32), run=run, compiled=True)
    assert run.notes["fisher_by"] == "interception, not fused or compiled (no C++ compiler no-such-compiler)"


@pytest.mark.usefixtures("as_written")
def test_a_program_that_is_wrong_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.compile", lambda *_: lambda *_: None)
    network, data, run = the_mlp().double().eval(), examples(8, (1, 6, 6)), Recorder()
    fisher = fisher_diagonal(network, data, run=run, compiled=True)
    assert run.notes["fisher_by"] == "interception, not compiled (differs for 1.weight)"
    assert off(dict(fisher.sums), obvious(network, data)) <= 1e-12


@pytest.mark.usefixtures("as_written")
@pytest.mark.parametrize(("then", "first"), [(True, 20), (False, 4)])
def test_an_attempt_goes_on_only_in_the_way_of_the_one_before(
    then: bool,  # noqa: FBT001 - whether the second attempt can compile, as the first could
    first: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(estimate, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(accumulator, "BATCHES_IN_FLOAT32", 2)
    network, data = the_mlp().eval(), examples(40, (1, 6, 6), dtype=torch.float32)
    run = Recorder(stop_at=20)
    with pytest.raises(Cancelled):
        fisher_diagonal(network, data, run=run, batch_size=4, compiled=True)
    run.stop_at, run.told = None, []
    resumed = fisher_diagonal(network, data, run=run, batch_size=4, compiled=then)
    assert run.told[0] == ("fisher", first, 40, "samples")
    undisturbed = fisher_diagonal(network, data, batch_size=4, compiled=then)
    assert all(torch.equal(resumed.sums[name], s) for name, s in undisturbed.sums.items())


def test_it_is_compiled_where_there_is_much_to_do_and_not_mostly_convolutions() -> None:
    """The transformer's operations on one image give back 13,000 numbers or so."""
    vit, image = the_vit().eval(), torch.ones(1, 3, 8, 8)
    assert pays(vit, image, 10**8)
    assert not pays(vit, image, 10**5)
    assert not pays(the_resnet().eval(), torch.ones(1, 3, 16, 16), 10**8)
