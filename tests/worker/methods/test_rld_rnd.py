"""Methods `rld` and `rnd`: their losses by hand, and that they forget."""

from dataclasses import replace

import pytest
import torch

from app.core.params import Kind, MethodParams, Need
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from worker import registry
from worker.methods.rnd import distance
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.examples import Examples
from worker.numerics.labels import random_labels
from worker.numerics.problem import Pattern, Problem
from worker.numerics.weights import Weights, network_with


def right(problem: Problem, weights: Weights, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())


def test_random_labels_are_never_the_true_one_and_otherwise_uniform() -> None:
    torch.manual_seed(0)
    labels = torch.arange(4).repeat(3000)

    drawn = random_labels(labels, 4, include_true=False)

    assert not (drawn == labels).any()
    for c in range(4):
        assert (drawn == c).sum() == pytest.approx(3000, rel=0.1)


def test_random_labels_may_be_the_true_one_if_asked() -> None:
    torch.manual_seed(0)
    labels = torch.arange(4).repeat(3000)

    assert (random_labels(labels, 4, include_true=True) == labels).float().mean() == pytest.approx(0.25, abs=0.02)


def test_with_two_classes_the_random_label_is_the_other_one() -> None:
    assert random_labels(torch.tensor([0, 1, 1]), 2, include_true=False).tolist() == [1, 0, 0]


def test_distance_is_squared_per_sample_and_averaged() -> None:
    # one sample at squared distance 5, one at 9
    assert distance(torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.zeros(2, 2)) == 7.0


@pytest.mark.parametrize("asked", [RldParams, RndParams])
def test_a_class_is_forgotten_and_the_rest_is_held(
    problems: dict[Pattern, Problem], asked: type[RldParams] | type[RndParams]
) -> None:
    problem = problems["A"]
    params = asked(learning_rate=0.02, penalty_strength=1.0, epochs=40, batch_size=16)

    outcome = registry.unlearn(problem, params)

    assert right(problem, problem.old, problem.forget) > 0.8
    assert right(problem, outcome.weights, problem.forget) < 0.5
    assert right(problem, outcome.weights, problem.retain) > 0.7


def test_a_backdoor_is_forgotten_and_the_clean_images_are_learned(problems: dict[Pattern, Problem]) -> None:
    problem = problems["B"]

    params = RldParams(learning_rate=0.02, penalty_strength=1.0, epochs=40, batch_size=16, include_true_label=False)
    outcome = registry.unlearn(problem, params)

    assert right(problem, problem.old, problem.forget) > 0.9
    assert right(problem, outcome.weights, problem.forget) < 0.3
    assert right(problem, outcome.weights, problem.forget_clean) > 0.8


@pytest.mark.parametrize("asked", [RldParams, RndParams])
def test_a_stronger_hold_moves_less(problems: dict[Pattern, Problem], asked: type[RldParams] | type[RndParams]) -> None:
    problem = problems["A"]

    def moved(strength: float) -> float:
        params = asked(learning_rate=0.01, penalty_strength=strength, epochs=5, batch_size=16)
        new = registry.unlearn(problem, params).weights
        return sum(float((new[name] - problem.old[name]).square().sum()) for name in new)

    assert moved(1e4) < moved(1.0) / 2


@pytest.mark.parametrize("asked", [RldParams, RndParams])
@pytest.mark.parametrize("pattern", ["A", "B"])
def test_without_a_hold_no_fisher_is_needed(
    problems: dict[Pattern, Problem], asked: type[RldParams] | type[RndParams], pattern: Pattern
) -> None:
    params = asked(penalty_strength=0, epochs=1)
    bare = replace(problems[pattern], fisher=None)

    facts = registry.unlearn(bare, params).facts

    assert not any(Need.FISHER in params.needs(kind) for kind in Kind)
    assert all(Need.FISHER in asked(penalty_strength=1e-9).needs(kind) for kind in Kind)
    assert facts.keys() == {"epochs", "forget_samples"}
    with pytest.raises(EmptyExamples, match="stored Fisher"):
        registry.unlearn(bare, asked(penalty_strength=1e-9))


@pytest.mark.parametrize("asked", [RldParams, RndParams])
def test_no_hold_is_where_ever_weaker_ones_lead(
    problems: dict[Pattern, Problem], asked: type[RldParams] | type[RndParams]
) -> None:
    weak, none = (
        registry.unlearn(problems["A"], asked(learning_rate=0.01, penalty_strength=s, epochs=3, batch_size=16)).weights
        for s in (1e-30, 0.0)
    )
    assert all(torch.equal(weak[name], none[name]) for name in none)


@pytest.mark.parametrize("params", [RldParams(learning_rate=1e-30), RndParams(learning_rate=1e-30)])
def test_a_rate_too_small_to_move_a_weight_is_a_failure(problems: dict[Pattern, Problem], params: MethodParams) -> None:
    nothing = replace(problems["A"], old={name: t + 1 for name, t in problems["A"].old.items()})

    with pytest.raises(NothingToDo):
        registry.unlearn(nothing, params)


def test_forgetting_all_that_the_fisher_rests_on_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.fisher
    assert problem.forget

    with pytest.raises(EmptyExamples):
        registry.unlearn(replace(problem, fisher=replace(problem.fisher, count=len(problem.forget))), RldParams())
