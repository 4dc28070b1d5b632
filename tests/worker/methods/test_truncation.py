"""Method `truncation`: the answer changes, the weights do not."""

from dataclasses import replace

import pytest

from app.methods.truncation import TruncationParams
from worker.methods.truncation import truncation
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.evaluation import logits
from worker.numerics.outcome import Model
from worker.numerics.problem import Pattern, Problem


def test_the_class_is_never_answered_and_the_weights_are_the_same(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget

    outcome = truncation(problem, TruncationParams())

    assert outcome.weights is problem.old
    assert outcome.silenced == {0}
    answers = logits(Model(problem.build, outcome.weights, outcome.silenced), problem.forget).argmax(1)
    assert not (answers == 0).any()


def test_a_class_that_is_not_there_cannot_be_silenced(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(Misfit):
        truncation(replace(problems["A"], forgotten_class=3), TruncationParams())
    with pytest.raises(EmptyExamples):
        truncation(replace(problems["A"], forgotten_class=None), TruncationParams())
