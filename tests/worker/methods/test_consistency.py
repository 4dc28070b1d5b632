"""Method `consistency`: T stops to matter, without a sample of D_r; and what it refuses."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from app.core.params import Kind, Need
from app.methods.consistency import ConsistencyParams
from tests.worker.methods.conftest import with_mark
from worker import registry
from worker.methods.consistency import centred
from worker.numerics.errors import EmptyExamples, Misfit, NothingToDo
from worker.numerics.examples import Examples
from worker.numerics.features import feature_distance, with_features
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Pattern, Problem
from worker.numerics.weights import Weights, network_with

FAST = ConsistencyParams(penalty_strength=1.0, learning_rate=0.05, steps=300, batch_size=20, surrogate_batch_size=40)


def unlearned(problem: Problem, **changes: object) -> Outcome:
    return registry.unlearn(problem, FAST.model_copy(update=changes))


def right(problem: Problem, weights: Weights, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())


@pytest.fixture
def without_retain(problems: dict[Pattern, Problem]) -> Problem:
    return replace(problems["B"], retain=None, initial=None, recipe=None)


@pytest.mark.parametrize("trigger", ["given", "inferred"])
def test_the_trigger_stops_to_matter_without_a_sample_of_d_r(
    problems: dict[Pattern, Problem], without_retain: Problem, trigger: str
) -> None:
    retain = problems["B"].retain
    assert retain
    extra = retain.through(with_mark)

    outcome = unlearned(without_retain, trigger=trigger)
    before, after = (
        [right(without_retain, weights, part) for part in (extra, retain, without_retain.forget_clean)]
        for weights in (without_retain.old, outcome.weights)
    )

    assert before[0] < 0.3
    assert after[0] > 0.85
    assert after[1] > before[1] - 0.06
    assert after[2] > before[2] + 0.2
    assert float(outcome.facts["agreement"]) > float(outcome.facts["agreement_before"]) + 0.5
    assert outcome.facts["trigger"] == trigger


def test_by_default_a_backdoor_learns_the_clean_samples_and_a_leakage_those_it_is_in(
    problems: dict[Pattern, Problem],
) -> None:
    for pattern, expected in (("B", "clean"), ("C", "forget")):
        assert unlearned(problems[pattern], steps=2).facts["learned"] == expected  # type: ignore[index]
        for learn in ("clean", "forget", "both"):
            assert unlearned(problems[pattern], steps=2, learn=learn).facts["learned"] == learn  # type: ignore[index]


def test_both_sets_are_learned_if_asked(without_retain: Problem) -> None:
    weights = unlearned(without_retain, learn="both", label_strength=10.0).weights

    assert right(without_retain, weights, without_retain.forget) > 0.8
    assert right(without_retain, weights, without_retain.forget_clean) > 0.8


def test_a_transform_that_is_named_goes_before_one_that_would_be_inferred(without_retain: Problem) -> None:
    assert unlearned(without_retain, steps=2).facts["trigger"] == "given"
    facts = unlearned(replace(without_retain, transform=None), steps=2).facts

    assert (facts["trigger"], facts["trigger_pairs"]) == ("inferred", 40)
    assert float(facts["trigger_explained"]) > 0.99
    assert facts["trigger_changed"] == pytest.approx(1 / 6)


def test_what_the_network_is_asked_is_normalised_after_the_trigger_is_added(without_retain: Problem) -> None:
    """The old network meets z as it meets the data: raw inputs are changed first and normalised last."""
    seen: list[Tensor] = []

    def spy(inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return with_mark(inputs)

    clean = without_retain.forget_clean
    assert clean
    shifted = replace(clean, normalisation=replace(clean.normalisation, mean=(100.0,)))  # type: ignore[type-var]

    unlearned(replace(without_retain, forget_clean=shifted, transform=spy), steps=1, learn="clean")

    assert max(float(z.abs().max()) for z in seen) < 50


def test_a_stronger_hold_moves_less(without_retain: Problem) -> None:
    def distance(strength: float) -> float:
        new = unlearned(without_retain, penalty_strength=strength).weights
        return sum(float((new[name] - old).square().sum()) for name, old in without_retain.old.items())

    assert distance(1000.0) < 0.5 * distance(0.1)


def test_without_a_hold_no_fisher_is_needed(without_retain: Problem) -> None:
    params = FAST.model_copy(update={"penalty_strength": 0.0, "steps": 2})

    assert Need.FISHER not in params.needs(Kind.BACKDOOR)
    registry.unlearn(replace(without_retain, fisher=None), params)


@pytest.mark.parametrize(
    ("params", "needs"),
    [
        (ConsistencyParams(), {Need.FORGET, Need.FORGET_CLEAN, Need.FISHER}),
        (ConsistencyParams(trigger="inferred"), {Need.FORGET, Need.FORGET_CLEAN, Need.FISHER}),
        (ConsistencyParams(trigger="given"), {Need.FORGET_CLEAN, Need.FISHER, Need.TRANSFORM}),
        (
            ConsistencyParams(trigger="given", learn="both"),
            {Need.FORGET, Need.FORGET_CLEAN, Need.FISHER, Need.TRANSFORM},
        ),
    ],
)
def test_it_needs_a_transform_only_where_none_may_be_inferred(
    problems: dict[Pattern, Problem], params: ConsistencyParams, needs: set[Need]
) -> None:
    assert params.needs(Kind.BACKDOOR) == needs
    if Need.TRANSFORM in needs:
        with pytest.raises(EmptyExamples, match="the transform T"):
            registry.unlearn(replace(problems["B"], transform=None), params)
    else:
        with pytest.raises(EmptyExamples, match="D_f"):
            registry.unlearn(replace(problems["B"], transform=None, forget=None), params)


def test_with_a_pool_the_trigger_stops_to_matter_too(problems: dict[Pattern, Problem], without_retain: Problem) -> None:
    params = ConsistencyParams(surrogates="pool", pool_size=600, learning_rate=0.02, steps=150, penalty_strength=1.0)
    retain = problems["B"].retain
    assert retain

    first, second = (registry.unlearn(without_retain, params) for _ in range(2))

    assert first.facts["pool"] == 600
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert right(without_retain, first.weights, retain.through(with_mark)) > 0.85
    assert right(without_retain, first.weights, retain) > 0.85


def test_hidden_features_are_made_to_ignore_the_trigger_if_asked(without_retain: Problem) -> None:
    def apart(weights: Weights) -> float:
        (batch,) = (without_retain.forget_clean or pytest.fail("no pairs")).batches(100)
        old = with_features(network_with(without_retain.build, without_retain.old), batch.inputs)[1][-1:]
        network = network_with(without_retain.build, weights)
        return feature_distance(with_features(network, with_mark(batch.inputs))[1][-1:], old).item()

    little = {"label_strength": 1e-6, "anchor_strength": 0.0, "consistency_strength": 1e-6}
    distances = [apart(unlearned(without_retain, **little, feature_strength=c_h).weights) for c_h in (0.0, 1.0)]

    assert distances[1] < 0.5 * distances[0]


def test_the_defaults_follow_the_surrogates_and_what_is_learned() -> None:
    pool = ConsistencyParams(surrogates="pool")
    b, c = pool.settings(Kind.BACKDOOR), pool.settings(Kind.LEAKAGE)

    assert (b.label_strength, b.penalty_strength, c.label_strength, c.penalty_strength) == (0.3, 300, 1, 0)
    assert (b.steps, b.surrogate_batch_size, b.batch_size) == (500, 96, 32)
    assert Need.FISHER in pool.needs(Kind.BACKDOOR)
    assert Need.FISHER not in pool.needs(Kind.LEAKAGE)
    assert Need.FORGET in ConsistencyParams(surrogates="pool", trigger="given").needs(Kind.BACKDOOR)
    asked = ConsistencyParams(surrogates="pool", steps=7, penalty_strength=0.0).settings(Kind.BACKDOOR)
    assert (asked.steps, asked.penalty_strength, asked.anchor_strength) == (7, 0, 1)
    assert (b.consistency_strength, c.consistency_strength) == (2, 4)
    assert (b.refit, c.refit, FAST.settings(Kind.BACKDOOR).refit) == (True, True, False)
    assert not pool.model_copy(update={"refit": False}).settings(Kind.BACKDOOR).refit


def test_a_transform_that_changes_nothing_is_refused(without_retain: Problem) -> None:
    with pytest.raises(NothingToDo, match="T leaves every surrogate as it is"):
        unlearned(replace(without_retain, transform=lambda inputs: inputs.clone()))


def test_no_sample_and_samples_that_are_no_pairs_are_refused(without_retain: Problem) -> None:
    clean = without_retain.forget_clean
    assert clean
    nothing, fewer = (clean.at(torch.arange(n)) for n in (0, 10))

    with pytest.raises(EmptyExamples):
        unlearned(replace(without_retain, forget_clean=nothing))
    with pytest.raises(Misfit, match="10"):
        unlearned(replace(without_retain, forget_clean=fewer), trigger="inferred")
    with pytest.raises(Misfit, match="10"):
        unlearned(replace(without_retain, forget_clean=fewer), learn="both")


def test_centred_logits_have_mean_zero_and_the_same_differences() -> None:
    assert centred(torch.tensor([[1.0, 2.0, 6.0]])).tolist() == [[-2.0, -1.0, 3.0]]


def test_no_answer_depends_on_what_a_perceptron_was_made_blind_to(
    problems: dict[Pattern, Problem], without_retain: Problem
) -> None:
    """The mark overwrites inputs: whatever the descent did afterwards, it does not reach any answer."""
    outcome = unlearned(without_retain, steps=20, refit=True)
    retain = problems["B"].retain
    assert retain
    (batch,) = retain.batches(1000)
    network = network_with(without_retain.build, outcome.weights)

    assert torch.equal(network(batch.inputs), network(with_mark(batch.inputs)))
    assert int(outcome.facts["refit_blind_to"]) > 0
    assert float(outcome.facts["refit_explained"]) > 0.5


def test_without_the_closed_form_the_descent_begins_at_the_old_weights(without_retain: Problem) -> None:
    outcome = unlearned(without_retain, steps=1, learning_rate=1e-4)
    assert "refit" not in outcome.facts
    assert all(torch.allclose(outcome.weights[name], old, atol=1e-3) for name, old in without_retain.old.items())


def test_a_layer_of_too_many_features_is_left_as_it_is(
    without_retain: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.methods.consistency.MOST_FEATURES", 5)
    outcome = unlearned(without_retain, steps=1, learning_rate=1e-4, refit=True)
    assert str(outcome.facts["refit"]).startswith("left out: ")
    assert all(torch.allclose(outcome.weights[name], old, atol=1e-3) for name, old in without_retain.old.items())


def test_the_hold_is_on_what_the_closed_form_left(without_retain: Problem) -> None:
    def apart(a: Weights, b: Weights) -> float:
        """Of what may move."""
        first = float((a["0.weight"] - b["0.weight"])[:, :-1].square().sum())
        return first + float((a["0.bias"] - b["0.bias"]).square().sum())

    shifted = replace(without_retain, transform=lambda inputs: inputs + torch.linspace(0, 1, inputs.shape[1]))
    begun = unlearned(shifted, steps=1, learning_rate=1e-6, refit=True).weights
    held = unlearned(shifted, steps=100, penalty_strength=1e6, refit=True).weights

    assert apart(held, begun) < 0.05 * apart(begun, without_retain.old)


def test_a_transform_that_leaves_nothing_of_an_input_is_refused(without_retain: Problem) -> None:
    with pytest.raises(Misfit, match="leaves nothing"):
        unlearned(replace(without_retain, transform=torch.ones_like), refit=True)


@pytest.mark.parametrize("surrogates", ["augmented", "pool"])
def test_where_d_f_shows_t_with_its_label_surrogates_weigh_twice_as_much(
    surrogates: Literal["augmented", "pool"],
) -> None:
    params = ConsistencyParams(surrogates=surrogates)
    clean, forget = params.settings(Kind.BACKDOOR), params.settings(Kind.LEAKAGE)

    assert forget.consistency_strength == 2 * clean.consistency_strength
    assert forget.penalty_strength < clean.penalty_strength
    assert params.model_copy(update={"learn": "forget"}).settings(Kind.BACKDOOR) == forget
    assert params.model_copy(update={"consistency_strength": 0.7}).settings(Kind.LEAKAGE).consistency_strength == 0.7
