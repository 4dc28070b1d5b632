"""The Fisher diagonal against its definition, and for what must not matter."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.vit import VitParams
from tests.worker.numerics.fisher.zoo import CLASSES, examples, obvious, off
from tests.worker.numerics.recorder import Recorder
from worker.architectures import mlp, resnet18, small_cnn, vit
from worker.numerics.errors import EmptyExamples, Misfit, NonFinite
from worker.numerics.examples import TensorExamples
from worker.numerics.fisher import accumulator, estimate, fisher_diagonal
from worker.numerics.run import Cancelled


def the_mlp() -> nn.Module:
    return mlp.build(MlpParams(input_shape=(1, 6, 6), classes=CLASSES, layers=5), 1)


def the_cnn() -> nn.Module:
    return small_cnn.build(SmallCnnParams(input_shape=(2, 9, 8), classes=CLASSES, width=4, hidden=16), 1)


def the_vit() -> nn.Module:
    params = VitParams(input_shape=(3, 8, 8), classes=CLASSES, patch=2, depth=2, width=12, heads=3)
    return vit.build(params, 1)


def the_resnet() -> nn.Module:
    """Its BatchNorm statistics are calibrated: random ones make half of the entries zero and hide errors."""
    network = resnet18.build(Resnet18Params(input_shape=(3, 16, 16), classes=CLASSES, width=4), 1)
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(3)))
    return network


NETWORKS = [(the_mlp, (1, 6, 6)), (the_cnn, (2, 9, 8)), (the_resnet, (3, 16, 16)), (the_vit, (3, 8, 8))]


@pytest.mark.parametrize(("build", "shape"), NETWORKS)
def test_it_is_the_definition_in_float64(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    network, data, run = build().double().eval(), examples(11, shape), Recorder()
    fisher = fisher_diagonal(network, data, run=run, batch_size=4)
    assert run.notes["fisher_by"] == "interception"
    assert fisher.count == 11
    assert off(dict(fisher.sums), obvious(network, data)) <= 1e-12


@pytest.mark.parametrize(("build", "shape"), NETWORKS)
def test_float32_is_close_to_the_definition_in_float64(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    network, data = build().eval(), examples(11, shape, dtype=torch.float32)
    fisher = fisher_diagonal(network, data, batch_size=4)
    exact = TensorExamples(data.raw.double(), data.labels, data.positions)
    assert off(dict(fisher.sums), obvious(network.double(), exact)) <= 1e-5


@pytest.mark.parametrize("batch_size", [1, 3, 64, None])
def test_batch_size_and_order_do_not_matter(batch_size: int | None) -> None:
    network, data = the_cnn().double().eval(), examples(20, (2, 9, 8))
    shuffled = data.at(torch.randperm(20, generator=torch.Generator().manual_seed(0)))
    one = fisher_diagonal(network, data, batch_size=20)
    other = fisher_diagonal(network, shuffled, batch_size=batch_size)
    assert off(dict(other.sums), dict(one.sums)) <= 1e-12


def test_it_is_additive_over_disjoint_sets() -> None:
    network, data = the_cnn().eval(), examples(200, (2, 9, 8), dtype=torch.float32)
    forget = torch.arange(200) % 10 == 0
    whole, lost, kept = (fisher_diagonal(network, part) for part in (data, data.where(forget), data.where(~forget)))
    added = {name: lost.sums[name] + kept.sums[name] for name in whole.sums}
    assert whole.count == lost.count + kept.count
    assert off(added, dict(whole.sums)) <= 1e-6
    assert off(whole.minus(lost).diagonal(), kept.diagonal()) <= 1e-6


def test_parameters_that_need_no_gradient_count_and_stay_as_they_are() -> None:
    network, data = the_cnn().double().eval(), examples(6, (2, 9, 8))
    truth = obvious(network, data)
    network.requires_grad_(False)  # noqa: FBT003 - torch's own signature
    before = {name: t.clone() for name, t in network.state_dict().items()}
    assert off(dict(fisher_diagonal(network, data).sums), truth) <= 1e-12
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())


def test_a_layer_that_is_never_called_has_a_fisher_of_zero() -> None:
    network = the_mlp().double().eval()
    with_spare = nn.ModuleDict({"used": network, "spare": nn.Linear(2, 2).double()}).eval()
    with_spare.forward = network.forward
    fisher = fisher_diagonal(with_spare, examples(3, (1, 6, 6)))
    assert not fisher.sums["spare.weight"].any()
    assert fisher.sums["used.1.weight"].any()


def test_progress_is_told_in_samples() -> None:
    run = Recorder()
    fisher_diagonal(the_mlp().eval(), examples(10, (1, 6, 6), dtype=torch.float32), run=run, batch_size=4)
    assert run.told == [("fisher", done, 10, "samples") for done in (4, 8, 10)]


def test_a_cancelled_run_stops_and_a_later_one_goes_on_to_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(accumulator, "BATCHES_IN_FLOAT32", 2)
    network, data = the_mlp().eval(), examples(40, (1, 6, 6), dtype=torch.float32)
    whole = fisher_diagonal(network, data, batch_size=4)
    run = Recorder(stop_at=20)
    with pytest.raises(Cancelled):
        fisher_diagonal(network, data, run=run, batch_size=4)
    assert run.kept["fisher"][1]["done"] == 16
    run.stop_at, run.told = None, []
    resumed = fisher_diagonal(network, data, run=run, batch_size=4)
    assert run.told[0] == ("fisher", 20, 40, "samples")
    assert all(torch.equal(resumed.sums[name], s) for name, s in whole.sums.items())


def test_a_checkpoint_over_other_data_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(accumulator, "BATCHES_IN_FLOAT32", 2)
    network, data, run = the_mlp().eval(), examples(12, (1, 6, 6), dtype=torch.float32), Recorder()
    fisher_diagonal(network, data, run=run, batch_size=4)
    fewer = data.where(torch.arange(12) < 8)
    again = fisher_diagonal(network, fewer, run=run, batch_size=4)
    assert all(torch.equal(again.sums[k], s) for k, s in fisher_diagonal(network, fewer, batch_size=4).sums.items())


def test_a_checkpoint_of_other_weights_or_samples_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(accumulator, "BATCHES_IN_FLOAT32", 2)
    network, data, run = the_mlp().eval(), examples(12, (1, 6, 6), dtype=torch.float32), Recorder()
    fisher_diagonal(network, data, run=run, batch_size=4)
    moved = the_mlp().eval()
    with torch.no_grad():
        next(moved.parameters()).add_(1e-3)
    for other, samples in ((moved, data), (network, replace(data, positions=data.positions + 1))):
        run.told = []
        fisher_diagonal(other, samples, run=run, batch_size=4)
        assert run.told[0][1] == 4


@pytest.mark.parametrize("where", [0, 10, 69])
def test_a_gradient_that_is_not_finite_is_named_with_its_sample(where: int) -> None:
    data = examples(70, (1, 6, 6), dtype=torch.float32)
    data.raw[where] = torch.nan
    moved = replace(data, positions=data.positions + 1000)
    with pytest.raises(NonFinite, match=rf"'1\.weight' .* position {1000 + where}\b"):
        fisher_diagonal(the_mlp().eval(), moved, batch_size=4)


def test_no_examples_are_an_error() -> None:
    with pytest.raises(EmptyExamples):
        fisher_diagonal(the_mlp().eval(), examples(0, (1, 6, 6)))


def test_train_mode_anywhere_is_an_error() -> None:
    network = the_resnet().eval()
    next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)).train()
    with pytest.raises(Misfit, match="eval"):
        fisher_diagonal(network, examples(2, (3, 16, 16), dtype=torch.float32))
