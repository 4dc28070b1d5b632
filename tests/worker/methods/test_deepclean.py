"""Method `deepclean`: the selection by hand, and what must stay frozen."""

from dataclasses import replace

import pytest
import torch

from app.methods.deepclean import DeepCleanParams
from worker.methods.deepclean import deepclean
from worker.numerics.errors import NothingToDo
from worker.numerics.fisher import fisher_diagonal, ratio
from worker.numerics.problem import Pattern, Problem
from worker.numerics.selection import select
from worker.numerics.weights import network_with


@pytest.mark.parametrize("to", ["initial", "zero", "none"])
def test_what_is_not_selected_is_bit_identical(problems: dict[Pattern, Problem], to: str) -> None:
    problem = problems["A"]
    assert problem.forget
    assert problem.fisher
    outcome = deepclean(problem, DeepCleanParams.model_validate({"fraction": 0.3, "reset": to}))
    forget = fisher_diagonal(network_with(problem.build, problem.old), problem.forget)
    masks = select(ratio(forget, problem.fisher.minus(forget)), float(outcome.facts["gamma"])).masks

    assert 0 < int(outcome.facts["selected"]) == sum(int(mask.sum()) for mask in masks.values())
    for name, mask in masks.items():
        assert torch.equal(outcome.weights[name][~mask], problem.old[name][~mask])
    assert any((outcome.weights[name] != problem.old[name])[mask].any() for name, mask in masks.items())


def test_the_facts_say_what_was_chosen(problems: dict[Pattern, Problem]) -> None:
    facts = deepclean(problems["A"], DeepCleanParams()).facts

    assert facts["selected_fraction"] == pytest.approx(0.2, abs=0.01)
    assert facts["selected"] == round(float(facts["selected_fraction"]) * 123)
    assert (facts["epochs"], facts["learning_rate"]) == (1, 0.1)


def test_samples_are_fine_tuned_longer_than_a_class(problems: dict[Pattern, Problem]) -> None:
    assert deepclean(replace(problems["A"], forgotten_class=None), DeepCleanParams()).facts["epochs"] == 3


def test_an_empty_selection_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(NothingToDo, match="γ"):
        deepclean(problems["A"], DeepCleanParams(gamma=1e300))


def test_samples_without_a_gradient_are_a_failure_that_says_so(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    last = list(problem.old)[-1]  # the bias of the last layer: all answers are class 0, for certain
    sure = {**problem.old, last: torch.full_like(problem.old[last], -1e30)}
    sure[last][0] = 1e30
    forget = problem.forget.where(problem.forget.labels == 0)
    with pytest.raises(NothingToDo, match="without any error"):
        deepclean(replace(problem, old=sure, forget=forget), DeepCleanParams())


def test_given_gamma_it_is_the_threshold(problems: dict[Pattern, Problem]) -> None:
    assert deepclean(problems["A"], DeepCleanParams(gamma=1.5)).facts["gamma"] == 1.5


def test_a_class_is_forgotten(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    outcome = deepclean(problem, DeepCleanParams(fraction=0.5, epochs=8))
    (batch,) = problem.forget.batches(1000)

    network = network_with(problem.build, outcome.weights)
    assert (network(batch.inputs).argmax(1) == 0).float().mean() < 0.3
