"""A search goes on from any trial as if it had never been stopped, and a trial that fails is one trial that failed."""

import math
from collections.abc import Sequence
from itertools import islice

import pytest

from app.core.params import MethodParams
from app.core.spaces import Choices, FloatRange, IntRange
from app.domain.objective import Direction
from app.methods.potion import PotionParams
from app.methods.rld import RldParams
from app.methods.sparse import SparseParams
from worker.numerics.errors import NonFinite
from worker.rehearsal import Scored
from worker.study import Candidate, Trial, best, search

TOTAL = 26
SPARSE = Candidate(
    SparseParams(),
    {
        "rate_factor": FloatRange(low=0.01, high=10, log=True),
        "epochs": IntRange(low=1, high=6),
        "sparsity": Choices(values=(1e-4, 1e-3)),
    },
)
RLD = Candidate(RldParams(epochs=1), {"learning_rate": FloatRange(low=1e-6, high=1e-2, log=True)})


def bowl(method: MethodParams, _: int) -> list[Scored]:
    """Best at rate_factor 1; the method diverges above 3."""
    if isinstance(method, RldParams):
        return [Scored(5 + abs(math.log10(method.learning_rate)), {"accuracy.retain": 0.5})]
    assert isinstance(method, SparseParams)
    if method.rate_factor > 3:
        raise NonFinite("the loss is nan")
    value = math.log10(method.rate_factor) ** 2 + method.sparsity
    return [Scored(value, {"accuracy.retain": value}), Scored(value + 0.2, {"accuracy.retain": value})]


def run(
    earlier: Sequence[Trial] = (),
    *,
    candidates: Sequence[Candidate] = (SPARSE, RLD),
    seed: int = 4,
    direction: Direction = "minimize",
) -> list[Trial]:
    made = search(candidates, bowl, total=TOTAL, direction=direction, seed=seed, earlier=earlier)
    return [*earlier, *made]


UNDISTURBED = run()


@pytest.mark.parametrize("over", [0, 1, 2, 3, 11, 17, TOTAL - 1, TOTAL])
def test_a_search_that_was_stopped_after_any_trial_goes_on_as_if_it_had_not_been(over: int) -> None:
    before = list(islice(search((SPARSE, RLD), bowl, total=TOTAL, direction="minimize", seed=4), over))
    assert run(before) == UNDISTURBED


def test_another_seed_searches_elsewhere() -> None:
    assert run(seed=5) != UNDISTURBED


def test_the_first_trials_are_the_candidates_as_they_are() -> None:
    first, second, third = UNDISTURBED[:3]
    assert first.method == SparseParams().model_dump(mode="json")
    assert second.method == RldParams(epochs=1).model_dump(mode="json")
    assert (first.searched, second.searched) == (None, None)
    assert third.searched


def test_a_method_that_diverges_is_a_failed_trial_and_the_search_goes_on() -> None:
    failed = [trial for trial in UNDISTURBED if trial.value is None]
    assert failed
    assert {(trial.code, trial.detail) for trial in failed} == {("non_finite", "the loss is nan")}
    assert all(trial.method["rate_factor"] > 3 for trial in failed)
    assert [trial.number for trial in UNDISTURBED] == list(range(TOTAL))


def test_parameters_that_do_not_go_together_are_a_failed_trial() -> None:
    torn = Candidate(PotionParams(), {"fraction": FloatRange(low=0.4, high=0.5)})  # above largest_fraction
    made = list(search([torn], lambda *_: [Scored(1.0, {})], total=3, direction="minimize", seed=0))
    assert [trial.code for trial in made] == [None, "invalid_parameters", "invalid_parameters"]


def test_what_is_proposed_lies_in_the_space_and_gets_better() -> None:
    for trial in UNDISTURBED[2:]:
        for name, value in (trial.searched or {}).items():
            asked = (SPARSE, RLD)[trial.candidate].space[name]
            assert value in asked.values if isinstance(asked, Choices) else asked.low <= float(value or 0) <= asked.high
            assert trial.method[name] == value
    found = best(run(candidates=[SPARSE]), "minimize")
    assert found is not None
    assert found.value is not None
    assert found.value < 0.15


def test_the_value_of_a_trial_is_the_mean_over_the_validation_parts() -> None:
    trial = UNDISTURBED[0]
    assert trial.value == pytest.approx(math.log10(1.5) ** 2 + 5e-4 + 0.1)
    assert len(trial.parts) == 2


@pytest.mark.parametrize(("direction", "wanted"), [("minimize", 1), ("maximize", 2)])
def test_the_best_is_the_first_of_equals_and_never_one_that_failed(direction: Direction, wanted: int) -> None:
    trials = [Trial(n, 0, {}, None, value) for n, value in enumerate((None, 1.0, 2.0, 1.0, 2.0))]
    found = best(trials, direction)
    assert found is not None
    assert found.number == wanted
    assert best(trials[:1], direction) is None
