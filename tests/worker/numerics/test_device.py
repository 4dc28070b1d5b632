"""Networks work on a device, all else stays at home; the device is a stand-in that every machine has."""

import gc
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy as loss_of

from tests.worker.architectures.test_builders import BUILDERS
from tests.worker.elsewhere import NAME, Elsewhere, elsewhere
from tests.worker.numerics.recorder import Recorder
from worker.numerics import descent, device
from worker.numerics.augmentation import HorizontalFlip, RandomCrop
from worker.numerics.deltas import Recorder as Deltas
from worker.numerics.descent import Anchor, Plan, descend
from worker.numerics.device import at_work, device_name, place_of
from worker.numerics.errors import NonFinite
from worker.numerics.evaluation import logits
from worker.numerics.examples import Batch, Normalisation, TensorExamples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.head import head_inputs, head_of
from worker.numerics.hessian import top_eigenvalue
from worker.numerics.layers import halves, seen_through
from worker.numerics.outcome import Model
from worker.numerics.randomness import drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.run import Cancelled, Checkpoint, Quiet
from worker.numerics.saliency import mean_gradient
from worker.numerics.surrogate_pool import surrogate_pool
from worker.numerics.training import cross_entropy, train
from worker.numerics.weights import Build, Weights, network_with, weights_of

CLASSES = 3
THERE = torch.device(NAME)
RECIPE = Recipe(learning_rate=0.1, epochs=2, batch_size=8, weight_decay=1e-3)


def build(seed: int) -> nn.Module:
    """Images of 6×6 to three classes; everything that training treats differently is there."""
    with drawn_from(seed):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64, 8),
            nn.Tanh(),
            nn.Linear(8, CLASSES),
        )


def dropping(seed: int) -> nn.Module:
    with drawn_from(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Dropout(0.5), nn.Linear(8, CLASSES))


def images(n: int = 20) -> TensorExamples:
    raw = torch.randint(256, (n, 1, 6, 6), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    return TensorExamples(raw, torch.arange(n) % CLASSES, torch.arange(n), Normalisation((0.5,), (0.25,)))


def same(left: Weights, right: Weights) -> bool:
    """Bit for bit, and all at home."""
    at_home = all(type(tensor) is Tensor and tensor.device.type == "cpu" for tensor in right.values())
    return at_home and left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def left_there() -> list[object]:
    gc.collect()
    return [found for found in gc.get_objects() if type(found) is Elsewhere]


# What the stand-in must do for these tests to mean anything.


def test_the_stand_in_differentiates_as_a_cpu_does() -> None:
    def gradients(network: nn.Module, inputs: Tensor) -> list[Tensor]:
        loss = network(inputs).square().sum()
        return [g.cpu() for g in torch.autograd.grad(loss, list(network.parameters()))]

    inputs = images().raw.float()
    here = gradients(build(0), inputs)
    with elsewhere() as called:
        there = gradients(build(0).to(THERE), inputs.to(THERE))
    assert called == {NAME}
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize(
    "mixing",
    [
        lambda here, there: here + there,
        lambda here, there: there.add_(here),
        lambda here, there: here.add_(there),
        lambda here, there: here.add_(there.sum()),
        lambda here, there: torch.cat([there, here]),
        torch.equal,
        lambda here, there: torch.where(there > 0, here, 0.0),
        lambda _, there: nn.Linear(3, 2)(there),
        lambda here, there: here[(there > 0).nonzero().flatten()],
        lambda here, there: torch.cat([there], out=here),
    ],
)
def test_the_stand_in_does_not_mix(mixing: Callable[[Tensor, Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match="at least two devices"):
        mixing(torch.ones(3), torch.ones(3, device=THERE))


def test_the_stand_in_takes_from_the_cpu_what_a_gpu_takes() -> None:
    there = torch.arange(3.0, device=THERE)
    assert (there * torch.tensor(2.0)).tolist() == [0, 2, 4]
    assert there[torch.tensor([2, 0])].tolist() == [2, 0]
    assert torch.zeros(3).copy_(there).tolist() == [0, 1, 2]
    assert torch.zeros(3, device=THERE).copy_(torch.ones(3)).tolist() == [1, 1, 1]
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()


@pytest.mark.parametrize(
    "drawing",
    [
        lambda _: torch.rand(2, device=THERE),
        torch.randn_like,
        lambda _: torch.randint(2, (2,), device=THERE),
        lambda _: torch.randperm(2, device=THERE),
        lambda there: torch.multinomial(there, 1),
    ],
)
def test_nobody_draws_on_the_stand_in(drawing: Callable[[Tensor], object]) -> None:
    with pytest.raises(AssertionError, match="draws on the device"):
        drawing(torch.ones(2, device=THERE))


# The device.


@pytest.mark.parametrize(("gpus", "expected"), [(1, "cuda"), (0, "cpu")])
def test_networks_work_on_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, gpus: int, expected: str) -> None:
    monkeypatch.setattr(device, "_found", [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    assert device.device().type == expected


def test_reports_name_the_device() -> None:
    assert device_name() == "cpu"
    with elsewhere():
        assert device_name() == "a stand-in"


def test_a_network_comes_home_whatever_happened_and_keeps_its_parameters() -> None:
    network = build(0)
    before, parameters = weights_of(network), list(network.parameters())

    def interrupted() -> None:
        with at_work(network):
            assert place_of(network).type == NAME
            assert same(before, weights_of(network))
            raise Cancelled

    with elsewhere():
        with pytest.raises(Cancelled):
            interrupted()
        assert place_of(network).type == "cpu"
    assert all(a is b for a, b in zip(parameters, network.parameters(), strict=True))
    assert same(before, network.state_dict())


def test_a_network_that_is_at_work_stays_there_until_the_outermost_is_done() -> None:
    network = build(0)
    with elsewhere(), at_work(network):
        with at_work(network):
            pass
        assert place_of(network).type == NAME


def test_a_network_without_tensors_can_be_at_work() -> None:
    flatten = nn.Sequential(nn.Flatten())
    with elsewhere(), at_work(flatten):
        assert place_of(flatten).type == "cpu"


# Training.


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="adam", clip=0.1, schedule="cosine"),
        replace(RECIPE, loss="sd", sd_strength=0.5, augmentation=(HorizontalFlip(), RandomCrop(2))),
    ],
    ids=["sgd", "adam", "augmented"],
)
def test_training_gives_the_weights_that_a_cpu_gives(recipe: Recipe) -> None:
    here = train(build, recipe, images(), seed=3)
    with elsewhere() as called:
        there = train(build, recipe, images(), seed=3)
    assert called == {NAME}
    assert same(here, there)
    assert not left_there()


def descended(plan: Plan, *, run: Recorder | None = None) -> Weights:
    """With everything that `descend` can be given: masks on parameters and buffers, an anchor."""
    network = build(0)
    old = weights_of(build(1))
    anchor = Anchor(old, {name: torch.rand_like(p) for name, p in network.named_parameters()}, 0.5)
    only = {name: tensor.abs() > tensor.abs().mean() for name, tensor in old.items() if tensor.dim()}
    descend(network, images(), cross_entropy, plan, seed=3, run=run, anchor=anchor, only=only, train_mode=True)
    return weights_of(network)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(0.1, batch_size=8, clip=0.5, weight_decay=0.01, sparsity=1e-3),
        Plan(0.01, batch_size=8, optimizer="adam", noise=0.01),
    ],
    ids=["sgd", "adam"],
)
def test_a_descent_gives_the_weights_that_a_cpu_gives(plan: Plan) -> None:
    torch.manual_seed(0)
    here = descended(plan)
    with elsewhere() as called:
        torch.manual_seed(0)
        there = descended(plan)
    assert called == {NAME}
    assert same(here, there)
    assert not left_there()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_checkpoints_lie_on_the_cpu_and_a_killed_descent_goes_on_from_them(
    monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    plan = Plan(0.01, epochs=2, batch_size=8, optimizer="adam" if optimizer == "adam" else "sgd")
    with elsewhere():
        whole, killed, resumed = build(0), build(0), build(0)
        descend(whole, images(), cross_entropy, plan, seed=3, train_mode=True)
        run = Recorder(stop_at=4)
        with pytest.raises(Cancelled):
            descend(killed, images(), cross_entropy, plan, seed=3, run=run, train_mode=True)
        kept: list[Checkpoint] = list(run.kept.values())
        assert all(type(tensor) is Tensor for tensors, _ in kept for tensor in tensors.values())
        assert place_of(killed).type == "cpu"
        run.stop_at, run.told = None, []
        descend(resumed, images(), cross_entropy, plan, seed=3, run=run, train_mode=True)
    assert run.told[0][1] == 4
    assert same(weights_of(whole), weights_of(resumed))


def test_dropout_draws_on_the_device_from_the_seed_too() -> None:
    with elsewhere():
        first = train(dropping, RECIPE, images(), seed=3)
        torch.get_device_module(THERE).manual_seed(7)
        second = train(dropping, RECIPE, images(), seed=3)
    assert same(first, second)


def test_a_descent_may_be_ended_by_a_look_at_the_network() -> None:
    def until(network: nn.Module, loss: float) -> bool:
        del loss
        seen.append(float(logits(Model(build, weights_of(network)), images()).mean()))
        return len(seen) == 3

    ends = list[list[float]]()
    for _ in range(2):
        seen = list[float]()
        if ends:
            with elsewhere():
                descend(build(0), images(), cross_entropy, Plan(0.1, batch_size=4), seed=3, until=until)
        else:
            descend(build(0), images(), cross_entropy, Plan(0.1, batch_size=4), seed=3, until=until)
        ends.append(seen)
    assert ends[0] == ends[1]


def test_weights_that_are_not_finite_are_told_as_on_a_cpu_and_the_network_is_home() -> None:
    def steep(network: nn.Module, batch: Batch) -> Tensor:
        return (0 * loss_of(network(batch.inputs), batch.labels)).sqrt()

    network = build(0)
    with elsewhere(), pytest.raises(NonFinite, match="weight"):
        descend(network, images(), steep, Plan(0.1), seed=3)
    assert place_of(network).type == "cpu"


def test_what_steps_do_is_recorded_at_home() -> None:
    def recorded() -> Deltas:
        parameters = sum(theta.numel() for theta in build(0).parameters())
        recorder = Deltas(Quiet(), "train", torch.zeros(6, parameters), torch.zeros(6, 8, dtype=torch.int64))
        train(build, RECIPE, images(), seed=3, run=recorder, watch=recorder.watch)
        return recorder

    here = recorded()
    with elsewhere():
        there = recorded()
    assert torch.equal(here.deltas, there.deltas)
    assert torch.equal(here.positions, there.positions)
    assert not left_there()  # the weights before the last step neither


# What is asked of a network.


def test_every_network_answers_there_as_here() -> None:
    for made, shape in BUILDERS.values():
        answers_alike(made, torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)))


def answers_alike(made: Build, inputs: Tensor) -> None:
    """But for the last digits: attention is worked out another way where autograd may be watching."""
    examples = TensorExamples(inputs, torch.zeros(len(inputs), dtype=torch.int64), torch.arange(len(inputs)))
    model = Model(made, made(1).state_dict(), frozenset({1}))
    here = logits(model, examples, batch_size=2)
    with elsewhere() as called:
        there = logits(model, examples, batch_size=2)
    assert called == {NAME}
    assert type(there) is Tensor
    torch.testing.assert_close(here, there)


def with_head(network: nn.Module) -> Weights:
    head = head_of(network, images())
    return {"": head_inputs(network, head, images(), run=Quiet(), phase="features")}


def below_head(network: nn.Module) -> Weights:
    parts = halves(network, {"6.weight", "6.bias"})
    assert parts
    return {"": seen_through(parts.trunk, images()).raw}


def pooled(network: nn.Module) -> Weights:
    sources = images().raw / 255
    with drawn_from(2):
        pool = surrogate_pool(network, images().normalisation, sources, 30, varied=True, seen=0, run=Quiet())
    return {"inputs": pool.inputs, "weights": pool.weights}


@pytest.mark.parametrize(
    "asked",
    [
        lambda network: mean_gradient(network, images()),
        lambda network: fisher_diagonal(network, images()).sums,
        lambda network: {"": torch.tensor(top_eigenvalue(network, images(), cross_entropy, seed=0))},
        with_head,
        below_head,
        pooled,
    ],
    ids=["mean_gradient", "fisher", "top_eigenvalue", "head", "trunk", "pool"],
)
def test_what_is_asked_of_a_network_is_worked_out_there_and_brought_home(asked: Callable[[nn.Module], Weights]) -> None:
    network = network_with(build, build(4).state_dict())
    here = asked(network)
    with elsewhere() as called:
        there = asked(network)
        assert place_of(network).type == "cpu"
    assert called == {NAME}
    assert same(here, there)
    assert not left_there()
