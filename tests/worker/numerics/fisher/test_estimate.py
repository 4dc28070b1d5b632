"""The Fisher diagonal against its definition, and for what must not matter."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, relu

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.small_cnn import SmallCnnParams
from tests.worker.numerics.recorder import Recorder
from worker.architectures import mlp, resnet18, small_cnn
from worker.numerics.errors import EmptyExamples, Misfit, NonFinite
from worker.numerics.examples import TensorExamples
from worker.numerics.fisher import estimate, fisher_diagonal, squares
from worker.numerics.fisher import layers as formulas
from worker.numerics.fisher.layers import Uncovered
from worker.numerics.randomness import drawn_from
from worker.numerics.run import Cancelled

CLASSES = 5


def examples(n: int, shape: tuple[int, ...], *, dtype: torch.dtype = torch.float64) -> TensorExamples:
    with drawn_from(7):
        return TensorExamples(torch.rand(n, *shape, dtype=dtype), torch.randint(CLASSES, (n,)), torch.arange(n))


def obvious(network: nn.Module, data: TensorExamples) -> dict[str, Tensor]:
    """The slow loop: gradient of one sample's loss, squared, summed; in float64, by torch's own cross entropy."""
    sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in network.named_parameters()}
    for batch in data.batches(1):
        loss = cross_entropy(network(batch.inputs), batch.labels)
        gradients = torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True, allow_unused=True)
        for name, g in zip(sums, gradients, strict=True):
            sums[name] += g.double().square()
    return sums


def off(found: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """The largest normwise relative error over the parameters."""
    assert list(found) == list(truth)
    return max(float((found[k] - truth[k]).norm() / truth[k].norm().clamp(min=1e-300)) for k in truth)


def the_mlp() -> nn.Module:
    return mlp.build(MlpParams(input_shape=(1, 6, 6), classes=CLASSES, layers=5), 1)


def the_cnn() -> nn.Module:
    return small_cnn.build(SmallCnnParams(input_shape=(2, 9, 8), classes=CLASSES, width=4, hidden=16), 1)


def the_resnet() -> nn.Module:
    """Its BatchNorm statistics are calibrated: random ones make half of the entries zero and hide errors."""
    network = resnet18.build(Resnet18Params(input_shape=(3, 16, 16), classes=CLASSES, width=4), 1)
    with torch.no_grad():
        for _ in range(20):
            network(torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(3)))
    return network


def everything() -> nn.Module:
    """Groups, stride, dilation, no bias, in-place ReLU, tokens, BatchNorm of features."""
    with drawn_from(2):
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 6, 2, dilation=2, bias=False),
            nn.Flatten(2),
            nn.Linear(4, 7),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(42, 8, bias=False),
            nn.BatchNorm1d(8),
            nn.ELU(inplace=True),
            nn.Linear(8, CLASSES),
        )


NETWORKS = [(the_mlp, (1, 6, 6)), (the_cnn, (2, 9, 8)), (the_resnet, (3, 16, 16)), (everything, (2, 8, 8))]


@pytest.mark.parametrize(("build", "shape"), NETWORKS)
def test_it_is_the_definition_in_float64(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    network, data, run = build().double().eval(), examples(11, shape), Recorder()
    fisher = fisher_diagonal(network, data, run=run, batch_size=4)
    assert run.notes["fisher_by"] == "by_layer"
    assert fisher.count == 11
    assert off(dict(fisher.sums), obvious(network, data)) <= 1e-12


@pytest.mark.parametrize(("build", "shape"), NETWORKS)
def test_float32_is_close_to_the_definition_in_float64(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    network, data = build().eval(), examples(11, shape, dtype=torch.float32)
    fisher = fisher_diagonal(network, data, batch_size=4)
    exact = TensorExamples(data.raw.double(), data.labels, data.positions)
    assert off(dict(fisher.sums), obvious(network.double(), exact)) <= 1e-5


def test_chunks_of_one_sample_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data, run = everything().double().eval(), examples(5, (2, 8, 8)), Recorder()
    monkeypatch.setattr(formulas, "CHUNK_FLOATS", 1)
    assert off(dict(fisher_diagonal(network, data, run=run).sums), obvious(network, data)) <= 1e-12
    assert run.notes["fisher_by"] == "by_layer"


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


def test_samples_that_the_network_fits_keep_their_digits() -> None:
    """At a logit lead of 20, p_y − 1 in float32 is 0; the true residual is about −2·10⁻⁹ for each of the others."""
    head = nn.Linear(1, CLASSES)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[20.0], [0.0], [0.0], [0.0], [0.0]]))
        head.bias.zero_()
    data = TensorExamples(torch.ones(1, 1), torch.zeros(1, dtype=torch.int64), torch.arange(1))
    found = fisher_diagonal(head.eval(), data).sums["bias"]
    exact = TensorExamples(data.raw.double(), data.labels, data.positions)
    torch.testing.assert_close(found, obvious(head.double(), exact)["bias"], rtol=1e-6, atol=0)


class Twice(nn.Module):
    """One layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.inner(torch.tanh(self.inner(x)))))  # type: ignore[no-any-return]


class Bare(Twice):
    """A parameter that belongs to no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(1, 2, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.scale * self.inner(x))  # type: ignore[no-any-return]


class Aside(Twice):
    """A weight used outside its layer too: hooks alone would be silently wrong."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(linear(torch.tanh(self.inner(x)), self.inner.weight)))  # type: ignore[no-any-return]


class Tied(Twice):
    """One weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(4, 4)
        self.again.weight = self.inner.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.again(self.inner(x))))  # type: ignore[no-any-return]


class Overwriting(Twice):
    """The input of a layer is written to after the layer has read it."""

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * x
        y = self.inner(x)
        x.mul_(3)
        return self.head(relu(y) + x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("network", [Twice, Bare, Aside, Tied])
def test_what_layers_do_not_cover_is_done_by_vmap(network: type[Twice]) -> None:
    with drawn_from(4):
        odd = network().double().eval()
    data, run = examples(9, (4,)), Recorder()
    fisher = fisher_diagonal(odd, data, run=run)
    assert run.notes["fisher_by"] == "by_vmap"
    assert off(dict(fisher.sums), obvious(odd, data)) <= 1e-12


@pytest.mark.parametrize("network", [Twice, Bare, Tied])
def test_layers_say_themselves_what_they_do_not_cover(network: type[Twice]) -> None:
    odd, data = network().double().eval(), examples(9, (4,))
    with pytest.raises(Uncovered):
        squares.by_layer(odd, squares.tensors_of(odd), data.raw, data.labels)


class Branching(Twice):
    """Control flow that vmap cannot follow."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(self.inner(x)) if float(x.detach().sum()) > 2 else self.inner(x)
        return self.head(y)  # type: ignore[no-any-return]


class Mixing(Twice):
    """A first dimension that is not the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inner(x) - self.inner(x).mean(0))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("network", "way"), [(Branching, "one_by_one"), (Mixing, "by_vmap")])
def test_what_formulas_or_vmap_get_wrong_is_done_the_slow_way(network: type[Twice], way: str) -> None:
    with drawn_from(4):
        odd = network().double().eval()
    data, run = examples(9, (4,)), Recorder()
    fisher = fisher_diagonal(odd, data, run=run)
    assert run.notes["fisher_by"] == way
    assert off(dict(fisher.sums), obvious(odd, data)) <= 1e-12


def test_an_input_that_is_overwritten_behind_its_layer_is_noticed() -> None:
    odd, data = Overwriting().double().eval(), examples(9, (4,))
    with pytest.raises(Uncovered, match="written to"):
        squares.by_layer(odd, squares.tensors_of(odd), data.raw, data.labels)


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
    network, data, run = the_mlp().eval(), examples(12, (1, 6, 6), dtype=torch.float32), Recorder()
    fisher_diagonal(network, data, run=run, batch_size=4)
    fewer = data.where(torch.arange(12) < 8)
    again = fisher_diagonal(network, fewer, run=run, batch_size=4)
    assert all(torch.equal(again.sums[k], s) for k, s in fisher_diagonal(network, fewer, batch_size=4).sums.items())


@pytest.mark.parametrize("where", [0, 10])
def test_a_gradient_that_is_not_finite_is_named(where: int) -> None:
    data = examples(12, (1, 6, 6), dtype=torch.float32)
    data.raw[where] = torch.nan
    with pytest.raises(NonFinite, match=r"'1\.weight'"):
        fisher_diagonal(the_mlp().eval(), data, batch_size=4)


def test_no_examples_are_an_error() -> None:
    with pytest.raises(EmptyExamples):
        fisher_diagonal(the_mlp().eval(), examples(0, (1, 6, 6)))


def test_train_mode_anywhere_is_an_error() -> None:
    network = the_resnet().eval()
    next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d)).train()
    with pytest.raises(Misfit, match="eval"):
        fisher_diagonal(network, examples(2, (3, 16, 16), dtype=torch.float32))
