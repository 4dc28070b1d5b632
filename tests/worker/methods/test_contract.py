"""What holds for every method, over the tables: a new method is tested by existing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import process_time
from typing import Any

import pytest
import torch

from app.core.params import Kind, MethodParams, Need
from app.methods.amnesiac import AmnesiacParams
from app.methods.consistency import ConsistencyParams
from app.methods.lcodec import LcodecParams
from app.methods.potion import PotionParams
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from app.methods.scrub import ScrubParams
from app.methods.sisa import SisaParams
from tests.worker.methods.conftest import in_shards
from worker import registry
from worker.numerics.errors import EmptyExamples
from worker.numerics.examples import Batch, Examples, TensorExamples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.run import Cancelled, Quiet
from worker.numerics.weights import Weights

PATTERNS: dict[Kind, Pattern] = {Kind.CLASS: "A", Kind.BACKDOOR: "B", Kind.LEAKAGE: "C"}
FAST: dict[type[MethodParams], MethodParams] = {
    LcodecParams: LcodecParams(blocks=3, hessian_samples=40),
    PotionParams: PotionParams(success=0.6, dampening=0.01, fraction=0.02),
    RldParams: RldParams(learning_rate=0.01, penalty_strength=1.0, epochs=3, batch_size=16),
    RndParams: RndParams(learning_rate=0.01, penalty_strength=1.0, epochs=3, batch_size=16),
    ScrubParams: ScrubParams(rewind=True),
}
"""Parameters that do something to a tiny network, where the defaults are for a real one, or that need more."""
OWN: dict[type[MethodParams], Callable[[Problem], Problem]] = {SisaParams: in_shards}
"""What makes of a problem one that the method is for."""
IN_PART = {AmnesiacParams, ConsistencyParams, SisaParams}
"""Methods that need not read all of D_f: one learns from D_f,clean, the others ask for positions alone."""
PARTS = {
    Need.FORGET: "forget",
    Need.FORGET_CLEAN: "forget_clean",
    Need.RETAIN: "retain",
    Need.HELD_OUT: "held_out",
    Need.FISHER: "fisher",
    Need.INITIAL_WEIGHTS: "initial",
    Need.DELTAS: "deltas",
    Need.RECIPE: "recipe",
    Need.TRANSFORM: "transform",
}
CASES = [(FAST.get(asked) or asked(), kind) for asked in registry.METHODS for kind in PATTERNS if kind in asked.serves]
WORKING = [(params, kind) for params, kind in CASES if params.changes_weights]


class Watched(Quiet):
    """A run that counts what it hears, and asks to stop at one point."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.heard: list[tuple[str, int, int]] = []
        self.stop_at = stop_at

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        super().progress(phase, completed, total, unit)
        self.heard.append((phase, completed, total))
        if len(self.heard) == self.stop_at:
            raise Cancelled


@dataclass(frozen=True)
class Traced(TensorExamples):
    """Examples that note which of them were read."""

    seen: set[int] = field(default_factory=set)

    def batches(self, size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        for batch in super().batches(size, generator=generator):
            self.seen.update(batch.positions.tolist())
            yield batch


def traced(examples: Examples | None) -> Traced | None:
    """The same examples, in another order."""
    if examples is None:
        return None
    assert isinstance(examples, TensorExamples)
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(3))
    mixed = examples.at(order)
    return Traced(mixed.raw, mixed.labels, mixed.positions, mixed.normalisation, mixed.changes)


def copied(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}


def same(left: Weights, right: Weights) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def without(problem: Problem, *parts: str) -> Problem:
    nothing: dict[str, Any] = dict.fromkeys(parts)
    return replace(problem, **nothing)


def named(value: MethodParams | Kind) -> str:
    return str(value) if isinstance(value, Kind) else str(type(value).model_fields["name"].default)


@pytest.fixture
def given(problems: dict[Pattern, Problem], params: MethodParams, kind: Kind) -> Problem:
    problem = problems[PATTERNS[kind]]
    own = OWN.get(type(params))
    return replace(own(problem) if own else problem, run=Watched())


@pytest.mark.parametrize(("params", "kind"), CASES, ids=named)
def test_the_deployed_weights_are_not_touched(params: MethodParams, given: Problem) -> None:
    assert given.initial
    before, initial = copied(given.old), copied(given.initial)

    registry.unlearn(given, params)

    assert same(given.old, before)
    assert same(given.initial, initial)


@pytest.mark.parametrize(("params", "kind"), CASES, ids=named)
def test_the_same_problem_gives_the_same_weights_whatever_was_drawn_before(
    params: MethodParams, given: Problem
) -> None:
    torch.manual_seed(1)
    first = registry.unlearn(given, params)
    torch.manual_seed(2)
    second = registry.unlearn(given, params)

    assert same(first.weights, second.weights)
    assert first.facts == second.facts


@pytest.mark.parametrize(("params", "kind"), WORKING, ids=named)
def test_the_result_is_finite_differs_and_is_there_in_seconds(params: MethodParams, given: Problem) -> None:
    started = process_time()
    outcome = registry.unlearn(given, params)

    assert process_time() - started < 20
    assert not same(outcome.weights, given.old)
    assert all(tensor.isfinite().all() for tensor in outcome.weights.values())
    assert not outcome.silenced


@pytest.mark.parametrize(("params", "kind"), WORKING, ids=named)
def test_another_seed_gives_other_weights_where_chance_has_a_say(params: MethodParams, given: Problem) -> None:
    first = registry.unlearn(given, params)
    second = registry.unlearn(replace(given, seed=given.seed + 1), params)

    assert same(first.weights, second.weights) is not params.random


@pytest.mark.parametrize(("params", "kind"), WORKING, ids=named)
def test_the_result_shares_no_tensor_with_the_deployed_model(params: MethodParams, given: Problem) -> None:
    outcome = registry.unlearn(given, params)

    mine = {tensor.data_ptr() for tensor in outcome.weights.values()}
    assert not mine & {tensor.data_ptr() for tensor in given.old.values()}


@pytest.mark.parametrize(("params", "kind"), WORKING, ids=named)
def test_progress_is_told_and_a_cancellation_is_heard(params: MethodParams, given: Problem) -> None:
    assert isinstance(given.run, Watched)
    registry.unlearn(given, params)
    heard = given.run.heard

    assert all(0 < completed <= total for _, completed, total in heard)
    for phase in {phase for phase, *_ in heard}:
        steps = [completed for p, completed, _ in heard if p == phase]
        assert steps == sorted(set(steps)) or phase == "evaluate"
    for stop_at in {1, len(heard) // 2 or 1, len(heard)}:
        with pytest.raises(Cancelled):
            registry.unlearn(replace(given, run=Watched(stop_at)), params)


@pytest.mark.parametrize(("params", "kind"), CASES, ids=named)
def test_what_is_declared_as_needed_is_enough_and_is_needed(params: MethodParams, given: Problem, kind: Kind) -> None:
    needs = params.needs(kind)
    bare = without(given, *(part for need, part in PARTS.items() if need not in needs))

    registry.unlearn(bare, params)
    for need in needs:
        with pytest.raises(EmptyExamples):
            registry.unlearn(without(bare, PARTS[need]), params)


def test_the_parts_are_all_that_a_method_can_need() -> None:
    assert set(PARTS) == set(Need)


@pytest.mark.parametrize(("params", "kind"), CASES, ids=named)
def test_every_sample_of_d_f_is_read_and_of_the_other_sets_those_that_are_needed(
    params: MethodParams, given: Problem, kind: Kind
) -> None:
    sets = {part: traced(getattr(given, part)) for part in ("forget", "forget_clean", "retain", "held_out")}
    registry.unlearn(replace(given, **sets), params)  # type: ignore[arg-type]

    needs = params.needs(kind)
    for need, part in PARTS.items():
        if (examples := sets.get(part)) is None:
            continue
        everything = set(examples.positions.tolist())
        assert examples.seen <= everything
        if need not in needs:
            assert not examples.seen
        elif type(params) not in IN_PART:
            assert examples.seen == everything or (examples.seen and need is not Need.FORGET)
