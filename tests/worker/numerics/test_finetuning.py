"""What is kept, and how fine-tuning follows the recipe."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from worker.numerics.descent import Plan
from worker.numerics.errors import EmptyExamples, ForgetsTooMuch
from worker.numerics.examples import TensorExamples
from worker.numerics.finetuning import fine_tuning, kept, outnumbered
from worker.numerics.problem import Problem
from worker.numerics.recipe import Recipe


def some(first: int, n: int) -> TensorExamples:
    return TensorExamples(torch.zeros(n, 2), torch.zeros(n, dtype=torch.int64), torch.arange(first, first + n))


PROBLEM = Problem(
    build=lambda _seed: nn.Linear(2, 2),
    old={},
    classes=2,
    pattern="A",
    seed=0,
    forget_clean=some(0, 2),
    retain=some(2, 3),
)


def test_of_samples_only_the_others_are_kept() -> None:
    assert kept(PROBLEM).positions.tolist() == [2, 3, 4]


def test_of_a_feature_the_samples_are_kept_without_it() -> None:
    assert kept(replace(PROBLEM, pattern="B")).positions.tolist() == [2, 3, 4, 0, 1]


@pytest.mark.parametrize("pattern", ["A", "B"])
def test_nothing_to_keep_is_refused(pattern: str) -> None:
    with pytest.raises(EmptyExamples, match="forget less"):
        kept(replace(PROBLEM, pattern=pattern, retain=some(0, 0)))  # type: ignore[arg-type]


def test_as_many_may_be_forgotten_as_are_kept_and_no_more() -> None:
    assert outnumbered(replace(PROBLEM, forget=some(5, 3))).positions.tolist() == [5, 6, 7]
    with pytest.raises(ForgetsTooMuch, match="4 samples and just 3"):
        outnumbered(replace(PROBLEM, forget=some(5, 4)))
    with pytest.raises(EmptyExamples, match="D_f is empty"):
        outnumbered(replace(PROBLEM, forget=some(5, 0)))


def test_the_plan_is_the_recipe_at_another_rate_and_length() -> None:
    plan = fine_tuning(Recipe(0.1, 7, 32, 0.5, 0.01, "constant", 2.0), rate_factor=1.5, epochs=3)

    assert plan == Plan(pytest.approx(0.15), 3, 32, 0.5, 0.01, "cosine", 2.0)  # type: ignore[arg-type]
