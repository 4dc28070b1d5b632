"""What holds for every method, over the tables: a new method is tested by existing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from time import process_time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.core.params import Kind, MethodParams, Need
from app.methods.amnesiac import AmnesiacParams
from app.methods.amun import AmunParams
from app.methods.certified_removal import CertifiedRemovalParams
from app.methods.consistency import ConsistencyParams
from app.methods.deepclean import DeepCleanParams
from app.methods.eu_k import EuKParams
from app.methods.fisher_forgetting import FisherForgettingParams
from app.methods.fisher_masking import FisherMaskingParams
from app.methods.gradient_ascent import GradientAscentParams
from app.methods.lcodec import LcodecParams
from app.methods.negmerge import NegmergeParams
from app.methods.noisy_finetune import NoisyFinetuneParams
from app.methods.ntk_scrub import NtkScrubParams
from app.methods.potion import PotionParams
from app.methods.random_label import RandomLabelParams
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from app.methods.salun import SalunParams
from app.methods.scrub import ScrubParams
from app.methods.sfr_on import SfrOnParams
from app.methods.single_gradient import SingleGradientParams
from app.methods.sisa import SisaParams
from app.methods.ssd import SsdParams
from tests.worker.methods.conftest import in_shards, scattered
from worker import registry
from worker.numerics import descent, guards
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.examples import Batch, Examples, TensorExamples
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Pattern, Problem
from worker.numerics.run import Cancelled, Quiet
from worker.numerics.weights import Weights, network_with

PATTERNS: dict[Kind, Pattern] = {Kind.SAMPLES: "A", Kind.CLASS: "A", Kind.BACKDOOR: "B", Kind.LEAKAGE: "C"}
"""Subjects are samples to every method."""
FAST: dict[type[MethodParams], MethodParams] = {
    ConsistencyParams: ConsistencyParams(steps=50),
    GradientAscentParams: GradientAscentParams(learning_rate=0.1, steps=500),
    LcodecParams: LcodecParams(blocks=3, hessian_samples=40),
    PotionParams: PotionParams(success=0.6, dampening=0.01, fraction=0.02),
    RldParams: RldParams(learning_rate=0.01, penalty_strength=1.0, epochs=3, batch_size=16),
    RndParams: RndParams(learning_rate=0.01, penalty_strength=1.0, epochs=3, batch_size=16),
    ScrubParams: ScrubParams(rewind=True),
}
"""Parameters that do something to a tiny network, soon, where the defaults are for a real one, or that need more."""
SHORT: dict[str, Any] = {"steps": 25, "surrogate_batch_size": 32, "batch_size": 32, "penalty_strength": 1.0}
STRONG: dict[str, Any] = {"learning_rate": 0.01, "epochs": 3, "batch_size": 16}
VARIANTS: dict[str, tuple[MethodParams, *tuple[Kind, ...]]] = {
    "amnesiac:no_repair": (AmnesiacParams(repair_epochs=0), Kind.SAMPLES),
    "amun:no_retain": (AmunParams(use_retain=False, attack_steps=10), Kind.SAMPLES),
    "certified_removal:multinomial": (CertifiedRemovalParams(loss="multinomial"), Kind.SAMPLES),
    "certified_removal:no_noise": (CertifiedRemovalParams(noise=0), Kind.CLASS),
    "consistency:both": (ConsistencyParams(learn="both", **SHORT), Kind.BACKDOOR),
    "consistency:given": (ConsistencyParams(trigger="given", **SHORT), Kind.LEAKAGE),
    "consistency:inferred": (ConsistencyParams(trigger="inferred", **SHORT), Kind.BACKDOOR, Kind.LEAKAGE),
    "consistency:no_hold": (ConsistencyParams(**{**SHORT, "penalty_strength": 0}), Kind.BACKDOOR),
    "consistency:pool": (ConsistencyParams(surrogates="pool", pool_size=200, **SHORT), Kind.BACKDOOR, Kind.LEAKAGE),
    "consistency:refit": (ConsistencyParams(refit=True, **SHORT), Kind.BACKDOOR),
    "deepclean:gamma": (DeepCleanParams(gamma=1.0), Kind.CLASS),
    "deepclean:none": (DeepCleanParams(reset="none"), Kind.SAMPLES),
    "deepclean:zero": (DeepCleanParams(reset="zero"), Kind.CLASS),
    "eu_k:one_layer": (EuKParams(layers=1), Kind.SAMPLES),
    "fisher_masking:forget": (FisherMaskingParams(relevance="forget"), Kind.SAMPLES),
    "gradient_ascent:momentum": (GradientAscentParams(momentum=0.9, stop_loss=0.8), Kind.SAMPLES),
    "negmerge:once": (NegmergeParams(rate_factors=(0.3,), epochs=(2,)), Kind.CLASS),
    "noisy_finetune:given": (NoisyFinetuneParams(radius=1.0, clip=0.5, decay=0.1), Kind.SAMPLES),
    "noisy_finetune:no_epochs": (NoisyFinetuneParams(epochs=0), Kind.LEAKAGE),
    "ntk_scrub:initial": (NtkScrubParams(around="initial"), Kind.CLASS),
    "ntk_scrub:labels": (NtkScrubParams(targets="labels"), Kind.SAMPLES),
    "random_label:no_retain": (RandomLabelParams(use_retain=False), Kind.SAMPLES, Kind.BACKDOOR),
    "random_label:true_label": (RandomLabelParams(include_true_label=True), Kind.SAMPLES),
    "rld:explicit": (RldParams(penalty="explicit", penalty_strength=1.0, **STRONG), Kind.SAMPLES),
    "rld:held": (RldParams(forget_strength=0, penalty_strength=1.0, **STRONG), Kind.BACKDOOR, Kind.LEAKAGE),
    "rld:plain": (RldParams(forget_strength=0, penalty_strength=0, **STRONG), Kind.BACKDOOR, Kind.LEAKAGE),
    "rld:wrong_label": (RldParams(include_true_label=False, penalty_strength=1.0, **STRONG), Kind.BACKDOOR),
    "rnd:explicit": (RndParams(penalty="explicit", penalty_strength=1.0, **STRONG), Kind.BACKDOOR),
    "salun:soft": (SalunParams(variant="soft"), Kind.SAMPLES, Kind.CLASS),
    "scrub:labels_alone": (ScrubParams(distillation_strength=0), Kind.CLASS),
    "scrub:no_rewind": (ScrubParams(), Kind.SAMPLES, Kind.CLASS),
    "sfr_on:slow": (SfrOnParams(slow_rate=0.5, adaptivity=0, ascent_steps=2), Kind.SAMPLES),
    "ssd:alpha": (SsdParams(selection=1.5), Kind.CLASS),
}
"""Settings beside those by default that go other ways through the code, each for the kinds where it matters."""
NAMES = {params: name for name, (params, *_) in VARIANTS.items()}
CERTAIN = {"amnesiac:no_repair", "certified_removal:no_noise"}
"""Variants of random methods that draw nothing."""
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
SELECTING = {DeepCleanParams, EuKParams, LcodecParams, NegmergeParams, PotionParams, SalunParams, SsdParams}
"""Methods that say what share of the weights they chose, and leave the others bit for bit."""
REST_MOVES: dict[type[MethodParams], str] = {
    FisherMaskingParams: "the selected weights are zero for good, and the others learn D_r without them",
    SfrOnParams: "the selected weights forget, and all of them repair",
}
BEFORE_DESCENT: dict[type[MethodParams], str] = {
    AmnesiacParams: "takes steps of the training back",
    CertifiedRemovalParams: "Newton steps of the head",
    FisherForgettingParams: "adds noise",
    FisherMaskingParams: "sets weights to zero",
    LcodecParams: "Newton steps of units",
    NoisyFinetuneParams: "scales the weights down",
    NtkScrubParams: "solves for the step",
    PotionParams: "dampens",
    SingleGradientParams: "one step of its own",
    SsdParams: "dampens",
}
"""What else than steps of descent moves the weights, by default."""
BY_DEFAULT = [
    (FAST.get(asked) or asked(), kind) for asked in registry.METHODS for kind in PATTERNS if kind in asked.serves
]
CASES = BY_DEFAULT + [(params, kind) for params, *kinds in VARIANTS.values() for kind in kinds]
WORKING = [(params, kind) for params, kind in CASES if params.changes_weights]
MASKED = [case for case in WORKING if type(case[0]) in SELECTING and case[0] != EuKParams()]
"""Without the case whose last two layers are a BatchNorm and what follows: its statistics are chosen with it."""
DESCENDING = [case for case in BY_DEFAULT if case in WORKING and type(case[0]) not in BEFORE_DESCENT]


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


def turned(weights: Weights) -> Weights:
    """The same tensors by the same names, the last one first."""
    return dict(reversed(list(weights.items())))


def moved(old: Weights, new: Weights) -> int:
    """How many entries are others than before."""
    return sum(int((new[name] != tensor).sum()) for name, tensor in old.items())


def size(weights: Weights) -> int:
    return sum(tensor.numel() for tensor in weights.values())


def chosen(outcome: Outcome) -> float | None:
    """The share of the weights that the method says it chose."""
    share = outcome.facts.get("selected_fraction", outcome.facts.get("agreed_fraction"))
    return None if share is None else float(share)


def asked_for(problem: Problem, kind: Kind) -> Problem:
    """Samples are asked for from every class."""
    return scattered(problem) if kind is Kind.SAMPLES else problem


def named(value: MethodParams | Kind) -> str:
    if isinstance(value, Kind):
        return str(value)
    return NAMES.get(value) or str(type(value).model_fields["name"].default)


@pytest.fixture
def given(problems: dict[Pattern, Problem], params: MethodParams, kind: Kind) -> Problem:
    problem = asked_for(problems[PATTERNS[kind]], kind)
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

    assert same(first.weights, second.weights) is not (params.random and named(params) not in CERTAIN)


@pytest.mark.parametrize(("params", "kind"), WORKING, ids=named)
def test_the_result_shares_no_tensor_with_the_deployed_model(params: MethodParams, given: Problem) -> None:
    outcome = registry.unlearn(given, params)

    mine = {tensor.data_ptr() for tensor in outcome.weights.values()}
    assert not mine & {tensor.data_ptr() for tensor in given.old.values()}
    assert not any(tensor.requires_grad for tensor in outcome.weights.values()), "a graph would be kept alive"


@pytest.mark.parametrize(("params", "kind"), WORKING, ids=named)
def test_no_more_weights_move_than_were_chosen(params: MethodParams, given: Problem) -> None:
    outcome = registry.unlearn(given, params)

    share = chosen(outcome)
    assert (share is None) is (type(params) not in SELECTING | REST_MOVES.keys())
    if share is not None:
        beyond = moved(given.old, outcome.weights) > round(share * size(given.old))
        assert beyond is (type(params) in REST_MOVES)


@pytest.mark.parametrize(("params", "kind"), MASKED, ids=named)
def test_masks_hold_against_decay_momentum_and_batch_norm(
    with_statistics: dict[Pattern, Problem], params: MethodParams, kind: Kind
) -> None:
    problem = asked_for(with_statistics[PATTERNS[kind]], kind)
    weights = {name: problem.old[name] for name, _ in problem.build(0).named_parameters()}
    statistics = {name: tensor for name, tensor in problem.old.items() if name not in weights}

    outcome = registry.unlearn(problem, params)

    assert 0 < moved(weights, outcome.weights) <= round((chosen(outcome) or 0) * size(weights))
    assert (moved(statistics, outcome.weights) > 0) is ("moved_statistics" in outcome.facts)


@pytest.mark.parametrize(("params", "kind"), WORKING, ids=named)
def test_a_result_that_equals_the_deployed_weights_is_a_failure(
    params: MethodParams, given: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes out: for the comparison that every method ends with, any two tensors are now equal."""
    monkeypatch.setattr(guards, "torch", SimpleNamespace(equal=lambda _left, _right: True))
    with pytest.raises(NothingToDo, match="the method changed no weight"):
        registry.unlearn(given, params)


@pytest.mark.parametrize(("params", "kind"), DESCENDING, ids=named)
def test_a_descent_that_moves_nothing_is_a_failure(
    params: MethodParams, given: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a fresh network helps: it has the deployed weights."""
    monkeypatch.setattr(descent._Moving, "step", lambda *_args, **_settings: None)
    fresh = replace(given, build=lambda _seed: network_with(given.build, given.old), initial=given.old)
    with pytest.raises(NothingToDo, match="the method changed no weight"):
        registry.unlearn(fresh, params)


@pytest.mark.parametrize(("params", "kind"), [case for case in BY_DEFAULT if case in WORKING], ids=named)
def test_weights_and_fisher_are_matched_by_name_never_by_order(params: MethodParams, given: Problem) -> None:
    assert given.initial
    backwards = replace(given, old=turned(given.old), initial=turned(given.initial))
    if given.fisher:
        backwards = replace(backwards, fisher=replace(given.fisher, sums=turned(given.fisher.sums)))

    assert same(registry.unlearn(backwards, params).weights, registry.unlearn(given, params).weights)


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
