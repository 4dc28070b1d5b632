"""The training loop: what moves, what must not, and that it can be repeated."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy as loss_of

from tests.worker.numerics.recorder import Recorder
from worker.numerics import descent
from worker.numerics.descent import Anchor, Plan, descend
from worker.numerics.errors import EmptyExamples, Misfit, NonFinite, NothingToDo
from worker.numerics.examples import Batch, TensorExamples
from worker.numerics.randomness import drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.run import Cancelled, Fact
from worker.numerics.training import cross_entropy
from worker.numerics.weights import Weights, weights_of


def network(seed: int = 0) -> nn.Module:
    """Convolution, BatchNorm and dropout: everything that could move."""
    with drawn_from(seed):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(4 * 16, 3)
        )


def examples(n: int = 40) -> TensorExamples:
    with drawn_from(5):
        return TensorExamples(torch.rand(n, 1, 6, 6), torch.randint(3, (n,)), torch.arange(n))


def same(a: Weights, b: Weights) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


class Point(nn.Module):
    """θ itself, for objectives with a closed form."""

    def __init__(self, *theta: float) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(theta))


def towards(target: float) -> descent.Objective:
    """½‖θ − target‖²."""

    def objective(point: Point, _batch: Batch) -> Tensor:
        return ((point.theta - target) ** 2).sum() / 2

    return objective


PLAN = Plan(learning_rate=0.05, epochs=3, batch_size=8, weight_decay=0.01, schedule="cosine", clip=1.0)


def test_two_steps_with_momentum_and_decay_are_those_of_the_formula() -> None:
    """g + decay·θ: 1 + .1 = 1.1, θ 1 → .89; then .9·1.1 + .89 + .089 = 1.969, θ → .6931."""
    point = Point(1.0)
    descend(point, examples(1), towards(0.0), Plan(0.1, steps=2, weight_decay=0.1), seed=0)
    assert point.theta.item() == pytest.approx(0.6931)


def test_it_agrees_with_the_sgd_of_torch() -> None:
    ours, theirs, data = network().eval(), network().eval(), examples(32)
    descend(ours, data, cross_entropy, Plan(0.05, steps=6, batch_size=32, weight_decay=0.01), seed=0)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for _ in range(6):
        optimizer.zero_grad()
        loss_of(theirs(data.raw), data.labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_agrees_with_the_adam_of_torch(decay: float) -> None:
    ours, theirs, data = network().eval(), network().eval(), examples(32)
    plan = Plan(0.01, steps=6, batch_size=32, optimizer="adam", weight_decay=decay)
    descend(ours, data, cross_entropy, plan, seed=0)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.01, weight_decay=decay)
    for _ in range(6):
        optimizer.zero_grad()
        loss_of(theirs(data.raw), data.labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for name, tensor in theirs.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name), tensor, rtol=1e-4, atol=1e-5)


def test_a_killed_adam_goes_on_to_the_same_weights_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    plan, run, whole, resumed = Plan(0.01, steps=9, batch_size=8, optimizer="adam"), Recorder(), network(), network()
    descend(whole, examples(), cross_entropy, plan, seed=3)
    run.stop_at = 5
    with pytest.raises(Cancelled):
        descend(network(), examples(), cross_entropy, plan, seed=3, run=run)
    run.stop_at = None
    descend(resumed, examples(), cross_entropy, plan, seed=3, run=run)
    assert same(weights_of(whole), weights_of(resumed))


@pytest.mark.parametrize("strength", [1.0, 1e3, 1e6])
def test_adam_is_held_implicitly_by_every_strength(strength: float) -> None:
    """½(θ − 1)² + λθ² has its minimum at 1 / (1 + 2λ)."""
    point = Point(0.0)
    anchor = Anchor(weights_of(point), {"theta": torch.tensor([1.0])}, strength)
    plan = Plan(0.05, steps=2000, optimizer="adam", schedule="cosine")
    descend(point, examples(1), towards(1.0), plan, seed=0, anchor=anchor)
    assert point.theta.item() == pytest.approx(1 / (1 + 2 * strength), rel=0.05, abs=1e-6)


def test_a_cosine_falls_from_the_first_rate_towards_zero() -> None:
    rates = [Plan(2.0, schedule="cosine").rate(step, 4) for step in range(4)]
    assert rates == pytest.approx([2.0, 1 + 2**-0.5, 1.0, 1 - 2**-0.5])


def test_sparsity_pulls_every_weight_to_zero_and_falls_linearly() -> None:
    """α 1, .5 at lr .1: 1 → .9 → .85; −2 → −1.9 → −1.85; a zero stays one."""
    point = Point(1.0, -2.0, 0.0)
    nothing = Plan(0.1, steps=2, momentum=0, clip=1e-9, sparsity=1.0)
    descend(point, examples(1), lambda p, _batch: 0 * p.theta.sum(), nothing, seed=0)
    assert point.theta.tolist() == pytest.approx([0.85, -1.85, 0.0])


def test_noise_is_added_after_the_step_whatever_the_rate() -> None:
    """θ → .5 by the step; 20,000 draws have mean 0 and deviation 3 to within four standard errors."""
    point = Point(*[1.0] * 20_000)
    only = {"theta": torch.arange(20_000) > 0}
    descend(point, examples(1), towards(0.0), Plan(0.5, steps=1, noise=3.0), seed=0, only=only)
    noise = point.theta.detach()[1:] - 0.5
    assert abs(noise.mean().item()) < 4 * 3 / 20_000**0.5
    assert noise.std().item() == pytest.approx(3.0, abs=4 * 3 / 40_000**0.5)
    assert point.theta[0].item() == 1.0


def test_noise_is_drawn_anew_at_every_step_from_the_seed() -> None:
    def walked(steps: int, seed: int) -> list[float]:
        point = Point(0.0, 0.0)
        plan = Plan(0.1, steps=steps, noise=1.0, momentum=0)
        descend(point, examples(1), lambda p, _batch: 0 * p.theta.sum(), plan, seed=seed)
        return [float(x) for x in point.theta.tolist()]

    assert walked(2, 0) == walked(2, 0) != walked(2, 1)
    assert walked(2, 0) != pytest.approx([2 * x for x in walked(1, 0)])


def test_it_ends_where_it_is_told_to_before_the_step_is_taken() -> None:
    """½θ² at lr .5, no momentum: θ 8, 4, 2, 1; the loss is ½·2² = 2 before the third step."""
    run, point = Recorder(), Point(8.0)
    plan = Plan(0.5, steps=9, momentum=0)
    steps = descend(point, examples(1), towards(0.0), plan, seed=0, run=run, until=lambda _net, loss: loss <= 2.0)
    assert (steps, point.theta.item()) == (2, 2.0)
    assert [told[1:3] for told in run.told] == [(1, 9), (2, 9)]


def test_it_says_how_many_steps_it_took_also_where_a_killed_attempt_took_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    run = Recorder(stop_at=4)
    with pytest.raises(Cancelled):
        descend(network(), examples(), cross_entropy, PLAN, seed=3, run=run)
    run.stop_at = None
    for _ in range(2):
        assert descend(network(), examples(), cross_entropy, PLAN, seed=3, run=run) == 15


def test_clipping_bounds_the_gradient_and_not_the_decay() -> None:
    point = Point(30.0, 40.0)
    descend(point, examples(1), towards(0.0), Plan(1.0, steps=1, momentum=0, clip=5.0, weight_decay=0.5), seed=0)
    assert point.theta.tolist() == pytest.approx([30 - 3 - 15, 40 - 4 - 20])


def test_a_plan_follows_its_recipe() -> None:
    recipe = Recipe(0.1, 7, 32, 0.5, 0.01, "constant", 2.0, "adam")
    assert Plan.of(recipe) == Plan(0.1, 7, 32, 0.5, 0.01, "constant", 2.0, optimizer="adam")


def test_steps_replace_epochs() -> None:
    run = Recorder()
    descend(network(), examples(40), cross_entropy, Plan(0.01, epochs=1, batch_size=16, steps=7), seed=0, run=run)
    assert run.told == [("descend", k, 7, "steps") for k in range(1, 8)]


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before() -> None:
    results = []
    for junk in (0, 3):
        torch.rand(junk)
        net = network()
        descend(net, examples(), cross_entropy, PLAN, seed=4, train_mode=True)
        results.append(weights_of(net))
    assert same(*results)


def test_another_seed_gives_another_order() -> None:
    results = []
    for seed in (4, 5):
        net = network()
        descend(net, examples(), cross_entropy, PLAN, seed=seed)
        results.append(weights_of(net))
    assert not torch.equal(results[0]["0.weight"], results[1]["0.weight"])


def test_the_global_generator_is_left_where_it_was() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    descend(network(), examples(), cross_entropy, PLAN, seed=4, train_mode=True)
    assert torch.equal(torch.rand(3), expected)


def test_every_epoch_has_every_example_once_in_an_order_of_its_own() -> None:
    seen: list[int] = []

    def objective(net: nn.Module, batch: Batch) -> Tensor:
        seen.extend(batch.positions.tolist())
        return cross_entropy(net, batch)

    descend(network(), examples(20), objective, Plan(0.01, epochs=2, batch_size=8), seed=1)
    first, second = seen[:20], seen[20:]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second
    assert first != list(range(20))


def test_several_sets_go_in_lock_step() -> None:
    data = examples(20)
    clean = data.through(lambda x: x * 0)

    def objective(net: nn.Module, batch: Batch, clean_batch: Batch) -> Tensor:
        assert torch.equal(batch.positions, clean_batch.positions)
        assert not clean_batch.inputs.any()
        return cross_entropy(net, batch) + cross_entropy(net, clean_batch)

    descend(network(), (data, clean), objective, PLAN, seed=1)


def test_sets_of_different_lengths_are_an_error() -> None:
    with pytest.raises(Misfit, match="20, 19"):
        descend(network(), (examples(20), examples(19)), cross_entropy, PLAN, seed=1)


def masks(net: nn.Module) -> dict[str, Tensor]:
    """Half of the convolution, one entry of BatchNorm's scale, nothing else."""
    state = net.state_dict()
    half = torch.arange(state["0.weight"].numel()).view_as(state["0.weight"]) % 2 == 0
    return {"0.weight": half, "1.weight": torch.arange(4) == 2, "5.bias": torch.zeros(3, dtype=torch.bool)}


@pytest.mark.parametrize("anchored", [False, True])
def test_what_is_masked_stays_bit_for_bit(anchored: bool) -> None:  # noqa: FBT001 - a parameter of the test
    net = network()
    before, only = weights_of(net), masks(net)
    strangers = {name: tensor + 1 for name, tensor in before.items()}
    anchor = Anchor(strangers, {name: torch.ones_like(t) for name, t in before.items()}, 10.0) if anchored else None
    plan = Plan(0.1, epochs=3, batch_size=8, weight_decay=0.1)
    descend(net, examples(), cross_entropy, plan, seed=0, only=only, train_mode=True, anchor=anchor)
    for name, after in net.state_dict().items():
        free = only.get(name, torch.zeros_like(after, dtype=torch.bool))
        assert torch.equal(after[~free], before[name][~free]), name
        assert not free.any() or (after[free] != before[name][free]).all(), name


def test_named_statistics_move_under_a_mask_and_only_where_it_allows() -> None:
    net = network()
    before = weights_of(net)
    only = {"5.weight": torch.ones(3, 64, dtype=torch.bool), "1.running_mean": torch.arange(4) < 2}
    descend(net, examples(), cross_entropy, PLAN, seed=0, only=only, train_mode=True)
    mean, old = net.state_dict()["1.running_mean"], before["1.running_mean"]
    assert (mean[:2] != old[:2]).all()
    assert torch.equal(mean[2:], old[2:])
    assert torch.equal(net.state_dict()["1.running_var"], before["1.running_var"])
    assert torch.equal(net.state_dict()["1.num_batches_tracked"], before["1.num_batches_tracked"])


def test_under_a_mask_batch_norm_goes_by_the_statistics_it_keeps() -> None:
    results = []
    for train_mode in (True, False):
        net = network()
        net[3] = nn.Identity()  # type: ignore[operator]
        only = {"0.weight": torch.ones(4, 1, 3, 3, dtype=torch.bool)}
        descend(net, examples(), cross_entropy, PLAN, seed=0, only=only, train_mode=train_mode)
        results.append(weights_of(net))
    assert same(*results)


def test_statistics_move_in_train_mode_and_stay_in_eval_mode() -> None:
    for train_mode in (True, False):
        net = network()
        before = net.state_dict()["1.running_mean"].clone()
        descend(net, examples(), cross_entropy, PLAN, seed=0, train_mode=train_mode)
        assert torch.equal(net.state_dict()["1.running_mean"], before) is not train_mode
        assert not any(module.training for module in net.modules())


def test_clipping_looks_only_at_what_moves() -> None:
    point = Point(3.0, 4000.0)
    only = {"theta": torch.tensor([True, False])}
    descend(point, examples(1), towards(0.0), Plan(1.0, steps=1, momentum=0, clip=3.0), seed=0, only=only)
    assert point.theta.tolist() == [0.0, 4000.0]


@pytest.mark.parametrize(
    "only", [{"nobody": torch.tensor([True])}, {"theta": torch.tensor([True])}, {"theta": torch.tensor([1.0, 0.0])}]
)
def test_a_mask_that_does_not_fit_is_an_error(only: Mapping[str, Tensor]) -> None:
    with pytest.raises(Misfit):
        descend(Point(1.0, 2.0), examples(1), towards(0.0), PLAN, seed=0, only=only)


@pytest.mark.parametrize("only", [{}, {"theta": torch.tensor([False, False])}])
def test_a_mask_that_leaves_nothing_is_an_error(only: Mapping[str, Tensor]) -> None:
    with pytest.raises(NothingToDo):
        descend(Point(1.0, 2.0), examples(1), towards(0.0), PLAN, seed=0, only=only)


def test_the_first_implicit_step_is_the_formula() -> None:
    """θ 1, θ_old 0, λF 2: v = (−1 + 2·2·1) / (1 + 2·.5·2) = 3/3 = 1; θ = 1 − .5·1."""
    point = Point(1.0)
    anchor = Anchor({"theta": torch.zeros(1)}, {"theta": torch.ones(1)}, strength=2.0)
    descend(point, examples(1), towards(2.0), Plan(0.5, steps=1), seed=0, anchor=anchor)
    assert point.theta.item() == pytest.approx(0.5)


@pytest.mark.parametrize("penalty", ["implicit", "explicit"])
def test_both_penalties_have_the_same_fixed_point(penalty: str) -> None:
    """½(θ−3)² + λF(θ−1)² is least at (3 + 2λF)/(1 + 2λF)."""
    point, fisher = Point(0.0, 0.0, 0.0), torch.tensor([0.0, 0.5, 2.0])
    anchor = Anchor(weights_of(Point(1.0, 1.0, 1.0)), {"theta": fisher}, 2.0, penalty)  # type: ignore[arg-type]
    descend(point, examples(1), towards(3.0), Plan(0.05, steps=600), seed=0, anchor=anchor)
    torch.testing.assert_close(point.theta.detach(), (3 + 4 * fisher) / (1 + 4 * fisher), rtol=1e-4, atol=1e-4)


def held(penalty: str, strength: float, run: Recorder) -> Point:
    """A step at lr .1 and β .9, where F = 1: the explicit bound 2·lr·λ·max F < 2(1+β) is at λ = 19."""
    point = Point(1.0)
    anchor = Anchor(weights_of(Point(0.0)), {"theta": torch.ones(1)}, strength, penalty)  # type: ignore[arg-type]

    def nothing(p: Point, _batch: Batch) -> Tensor:
        return 0 * p.theta.sum()  # NaN once θ is infinite

    descend(point, examples(1), nothing, Plan(0.1, steps=300), seed=0, anchor=anchor, run=run)
    return point


@pytest.mark.parametrize("strength", [18.0, 20.0, 1e3, 1e6])
def test_implicit_steps_are_stable_for_every_strength(strength: float) -> None:
    run = Recorder()
    point = held("implicit", strength, run)
    assert abs(point.theta.item()) < 1e-3
    assert "descend_warning" not in run.notes


def test_explicit_steps_are_stable_below_the_bound_and_say_nothing() -> None:
    run = Recorder()
    point = held("explicit", 18.0, run)
    assert abs(point.theta.item()) < 1e-2
    assert "descend_warning" not in run.notes


def test_explicit_steps_beyond_the_bound_warn_and_diverge() -> None:
    run = Recorder()
    with pytest.raises(NonFinite, match=r"the loss is \S+ at step \d+ of 'descend': explicit penalty") as caught:
        held("explicit", 20.0, run)
    bound = r"2·lr·λ·max F = 4 is not below 2\(1\+momentum\) = 3.8, with lr = 0.1 and λ = 20"
    assert re.search(f"{bound}; lower penalty_strength below 19, or use the implicit penalty$", str(caught.value))
    assert str(run.notes["descend_warning"]) in str(caught.value)


@pytest.mark.parametrize(("penalty", "strength"), [("explicit", 18.0), ("implicit", 20.0)])
def test_a_penalty_within_its_bound_is_not_to_blame(penalty: str, strength: float) -> None:
    anchor = Anchor(weights_of(Point(0.0)), {"theta": torch.ones(1)}, strength, penalty)  # type: ignore[arg-type]
    with pytest.raises(NonFinite, match=r"lower the learning rate \(0\.1\)$"):
        descend(Point(10.0), examples(1), climbing, Plan(0.1, steps=300), seed=0, anchor=anchor)


def test_an_anchor_without_a_parameter_is_an_error() -> None:
    anchor = Anchor(weights_of(Point(0.0)), {"other": torch.ones(1)}, 1.0)
    with pytest.raises(Misfit, match="theta"):
        descend(Point(1.0), examples(1), towards(0.0), PLAN, seed=0, anchor=anchor)


@pytest.mark.parametrize("stop_at", [1, 7, 10, 14])
def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)

    def objective(net: nn.Module, batch: Batch) -> Tensor:
        """It draws its labels, as random label distillation does; dropout draws too."""
        return loss_of(net(batch.inputs), torch.randint(3, (len(batch.labels),)))

    whole, killed, resumed = network(), network(), network()
    fisher = {name: torch.ones_like(p) for name, p in whole.named_parameters()}
    anchor = Anchor(weights_of(whole), fisher, 1.0)
    descend(whole, examples(), objective, PLAN, seed=3, anchor=anchor, train_mode=True)
    run = Recorder(stop_at=stop_at)
    with pytest.raises(Cancelled):
        descend(killed, examples(), objective, PLAN, seed=3, run=run, anchor=anchor, train_mode=True)
    run.stop_at, run.told = None, []
    descend(resumed, examples(), objective, PLAN, seed=3, run=run, anchor=anchor, train_mode=True)
    assert run.told[0][1] == stop_at  # the step whose progress killed it had not been kept yet
    assert same(weights_of(whole), weights_of(resumed))


def test_a_finished_phase_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    run, first, second = Recorder(), network(), network()
    descend(first, examples(), cross_entropy, PLAN, seed=3, run=run, train_mode=True)
    run.told = []
    descend(second, examples(), cross_entropy, PLAN, seed=3, run=run, train_mode=True)
    assert run.told == []
    assert same(weights_of(first), weights_of(second))


def test_a_checkpoint_of_another_seed_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    run = Recorder()
    descend(network(), examples(), cross_entropy, PLAN, seed=3, run=run)
    run.told = []
    descend(network(), examples(), cross_entropy, PLAN, seed=4, run=run)
    assert run.told[0][1] == 1


def changed_data() -> TensorExamples:
    data = examples()
    return TensorExamples(data.raw, data.labels, data.positions + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"network": network(1)},
        {"feed": changed_data()},
        {"plan": Plan(0.2, epochs=3, batch_size=8)},
        {"anchor": Anchor(weights_of(network()), {n: torch.ones_like(p) for n, p in network().named_parameters()}, 2)},
        {"only": {"5.bias": torch.ones(3, dtype=torch.bool)}},
        {"train_mode": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_is_taken_up_only_where_everything_is_as_it_was(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    run, plan = Recorder(), Plan(0.1, epochs=3, batch_size=8)
    same_as_ever: dict[str, Any] = {"network": network(), "feed": examples(), "plan": plan}

    def told(**arguments: Any) -> list[Any]:
        run.told = []
        descend(**arguments, objective=cross_entropy, seed=3, run=run)
        return run.told

    told(**same_as_ever)
    assert told(**{**same_as_ever, "network": network()}) == []
    assert told(**{**same_as_ever, "network": network(), **change})[0][1] == 1


def test_checkpoints_are_kept_every_ten_seconds_and_at_the_end_of_a_longer_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that goes on by a second whenever it is read: once a step, and once more after a checkpoint."""
    seconds, kept = count(), list[Fact]()
    monkeypatch.setattr(descent, "monotonic", lambda: next(seconds))
    run = Recorder()
    monkeypatch.setattr(run, "save", lambda _name, checkpoint: kept.append(checkpoint[1]["done"]))
    descend(Point(1.0), examples(1), towards(0.0), Plan(0.1, steps=25), seed=0, run=run)
    assert kept == [10, 20, 25]


def test_a_short_run_keeps_no_checkpoint() -> None:
    run = Recorder()
    descend(network(), examples(), cross_entropy, PLAN, seed=3, run=run)
    assert run.kept == {}


def climbing(p: Point, _batch: Batch) -> Tensor:
    """−θ⁴: the higher, the steeper."""
    return -(p.theta**4).sum()


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(0.5, steps=50), r"lower the learning rate \(0\.5\)$"),
        (Plan(0.5, steps=50, clip=1e30), r"lower the learning rate \(0\.5\)$"),  # the recipe's
        (Plan(0.5, steps=50, clip=1e30, lower={"clip": 1e30}), r"lower the learning rate \(0\.5\) or clip \(1e\+30\)$"),
    ],
)
def test_a_loss_that_is_not_finite_stops_with_its_step_and_what_can_be_lowered(plan: Plan, told: str) -> None:
    with pytest.raises(NonFinite, match=rf"the loss is -inf at step [2-9] of 'descend': {told}"):
        descend(Point(1.0), examples(1), climbing, plan, seed=0)


def test_before_the_first_step_the_plan_is_not_to_blame() -> None:
    data = examples(8)
    data.raw[5] = torch.nan
    with pytest.raises(NonFinite, match="the loss is nan at step 1 of 'descend': no step was taken yet, so check the"):
        descend(network(), data, cross_entropy, PLAN, seed=0)


def test_weights_that_are_not_finite_at_the_end_are_named_with_step_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    run, plan = Recorder(), Plan(1e10, steps=1)

    def steep(p: Point, _batch: Batch) -> Tensor:
        return p.theta.sum() * 1e38

    whose_loss = r"'theta' is not finite after step 1 of 'descend', whose loss was 1e\+38: lower the learning rate \(1e"
    with pytest.raises(NonFinite, match=whose_loss):
        descend(Point(1.0), examples(1), steep, plan, seed=0, run=run)
    with pytest.raises(NonFinite, match="'theta' is not finite after step 1 of 'descend': lower"):
        descend(Point(1.0), examples(1), steep, plan, seed=0, run=run)  # nothing is left to do: it has no loss


def test_what_can_be_lowered_is_no_part_of_what_a_checkpoint_is_bound_to() -> None:
    assert repr(replace(PLAN, lower={"clip": 1.0})) == repr(PLAN)


def test_no_examples_and_no_steps_are_errors() -> None:
    for feed in (examples(0), (examples(4), examples(0)), (examples(0), examples(4))):
        with pytest.raises(EmptyExamples):
            descend(network(), feed, cross_entropy, PLAN, seed=0)
    with pytest.raises(NothingToDo):
        descend(network(), examples(4), cross_entropy, Plan(0.1, steps=0), seed=0)


def test_a_lonely_last_sample_does_not_break_batch_norm() -> None:
    run = Recorder()
    with drawn_from(0):
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    descend(net, examples(17), cross_entropy, Plan(0.1, batch_size=8, epochs=2), seed=0, run=run, train_mode=True)
    assert run.told[-1] == ("descend", 4, 4, "steps")
