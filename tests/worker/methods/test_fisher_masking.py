"""Method `fisher_masking`: zero is zero for good, and the rest learns."""

from dataclasses import replace

import pytest
import torch

from app.core.params import Kind, Need
from app.methods.fisher_masking import FisherMaskingParams
from worker.methods.fisher_masking import fisher_masking, relevance
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.selection import select, threshold
from worker.numerics.weights import network_with


@pytest.mark.parametrize("by", ["ratio", "forget"])
def test_what_matters_to_d_f_is_exactly_zero_and_the_rest_moves(problems: dict[Pattern, Problem], by: str) -> None:
    problem = replace(problems["A"], recipe=Recipe(learning_rate=0.1, epochs=8, batch_size=16, weight_decay=0.1))
    scores = relevance(problem, network_with(problem.build, problem.old), by)
    masks = select(scores, threshold(scores, 0.3)).masks

    outcome = fisher_masking(problem, FisherMaskingParams.model_validate({"fraction": 0.3, "relevance": by}))

    assert outcome.facts["selected"] == sum(int(mask.sum()) for mask in masks.values()) > 0
    for name, mask in masks.items():
        assert (outcome.weights[name][mask] == 0).all()
    assert any((outcome.weights[name] != problem.old[name])[~mask].any() for name, mask in masks.items())


def test_zero_is_zero_for_good_beside_a_batch_norm(with_statistics: dict[Pattern, Problem]) -> None:
    problem = with_statistics["A"]
    weights = [name for name, _ in problem.build(0).named_parameters()]

    outcome = fisher_masking(problem, FisherMaskingParams(fraction=0.3))

    assert sum(int((outcome.weights[name] == 0).sum()) for name in weights) == outcome.facts["selected"] == 44
    assert not torch.equal(outcome.weights["1.running_mean"], problem.old["1.running_mean"])


def test_a_class_is_forgotten_and_the_others_are_not(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    assert problem.retain
    network = network_with(problem.build, fisher_masking(problem, FisherMaskingParams(fraction=0.2, epochs=5)).weights)
    (forget,), (retain,) = problem.forget.batches(1000), problem.retain.batches(1000)

    assert (network(forget.inputs).argmax(1) == forget.labels).float().mean() < 0.4  # of .9
    assert (network(retain.inputs).argmax(1) == retain.labels).float().mean() > 0.9


def test_the_facts_say_what_was_chosen(problems: dict[Pattern, Problem]) -> None:
    facts = fisher_masking(problems["A"], FisherMaskingParams(fraction=0.2, learning_rate=0.05)).facts

    assert facts["selected_fraction"] == pytest.approx(0.2, abs=0.01)
    assert (facts["epochs"], facts["learning_rate"], facts["moved_statistics"]) == (3, 0.05, 0)


def test_the_stored_fisher_is_needed_only_where_d_r_has_a_say() -> None:
    assert Need.FISHER in FisherMaskingParams().needs(Kind.CLASS)
    assert Need.FISHER not in FisherMaskingParams(relevance="forget").needs(Kind.CLASS)


def test_a_network_that_learns_nothing_from_d_f_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    sure = {name: torch.zeros_like(theta) for name, theta in problem.old.items()}
    sure["2.bias"][0] = 1e4  # class 0 whatever comes: no loss on D_f, no gradient

    with pytest.raises(NothingToDo, match="relevant"):
        fisher_masking(replace(problem, old=sure), FisherMaskingParams(relevance="forget"))


def test_nothing_left_to_keep_is_an_error(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.fisher
    with pytest.raises(EmptyExamples, match="nothing is left"):
        fisher_masking(replace(problem, fisher=replace(problem.fisher, count=40)), FisherMaskingParams())
