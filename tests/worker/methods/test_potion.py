"""Method `potion`: as few weights as suffice, and an end of the search."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from app.methods.potion import PotionParams
from worker.methods.potion import fractions, potion
from worker.numerics.dampening import dampened
from worker.numerics.errors import ForgetsTooMuch, NothingToDo
from worker.numerics.evaluation import accuracy, logits
from worker.numerics.fisher import fisher_diagonal, ratio
from worker.numerics.outcome import Model
from worker.numerics.problem import Pattern, Problem
from worker.numerics.selection import select, threshold
from worker.numerics.weights import network_with

FIERCE = PotionParams(success=0.6, dampening=0.01, fraction=0.02, growth=1.5)


def test_the_shares_grow_and_end_exactly_at_the_largest() -> None:
    assert list(fractions(PotionParams(fraction=0.1, growth=2, largest_fraction=0.5))) == [0.1, 0.2, 0.4, 0.5]
    assert list(fractions(PotionParams(fraction=0.2, largest_fraction=0.2))) == [0.2]


def test_the_first_share_that_suffices_is_the_result_and_the_one_before_did_not(
    problems: dict[Pattern, Problem],
) -> None:
    problem = problems["B"]
    assert problem.forget
    assert problem.fisher
    forget = fisher_diagonal(network_with(problem.build, problem.old), problem.forget)
    scores = ratio(forget, problem.fisher)
    tried = []
    for fraction in fractions(FIERCE):
        selection = select(scores, threshold(scores, fraction))
        new = dampened(problem.old, problem.fisher.diagonal(), forget.diagonal(), selection, strength=0.01)
        tried.append((accuracy(logits(Model(problem.build, new), problem.forget), problem.forget.labels), new))
    first = next(number for number, (success, _) in enumerate(tried) if success < FIERCE.success)

    outcome = potion(problem, FIERCE)

    assert first > 0
    assert outcome.facts["attempts"] == first + 1
    assert outcome.facts["forget_accuracy"] == tried[first][0] < FIERCE.success <= tried[first - 1][0]
    assert all(torch.equal(outcome.weights[name], theta) for name, theta in tried[first][1].items())


def test_a_trigger_that_still_works_at_the_largest_share_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(NothingToDo, match="still"):
        potion(problems["B"], PotionParams(largest_fraction=0.002))


def test_a_trigger_that_does_not_work_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    problem = problems["B"]
    assert problem.forget
    asked = replace(problem, forget=problem.forget.through(lambda x: -x))
    with pytest.raises(NothingToDo, match="already"):
        potion(asked, PotionParams(success=0.9))


def test_more_than_half_of_the_data_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["B"]
    assert problem.fisher
    with pytest.raises(ForgetsTooMuch):
        potion(replace(problem, fisher=replace(problem.fisher, count=60)), PotionParams())


def test_a_search_that_begins_above_its_end_is_refused() -> None:
    with pytest.raises(ValidationError, match="largest_fraction"):
        PotionParams(fraction=0.5, largest_fraction=0.1)
