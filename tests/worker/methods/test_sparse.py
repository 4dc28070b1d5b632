"""Method `sparse`: fine-tuning, and the pull to zero."""

from dataclasses import replace

import pytest
import torch

from app.methods.finetune import FinetuneParams
from app.methods.sparse import SparseParams
from worker import registry
from worker.methods.sparse import sparse
from worker.numerics.errors import EmptyExamples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.weights import Weights


def apart(left: Weights, right: Weights) -> float:
    return float(torch.stack([(left[name] - right[name]).norm() for name in left]).norm())


def test_with_almost_no_pull_it_is_fine_tuning(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    tuned = registry.unlearn(problem, FinetuneParams(rate_factor=1, epochs=5)).weights

    assert apart(sparse(problem, SparseParams(sparsity=1e-12, rate_factor=1, epochs=5)).weights, tuned) < 1e-5
    assert apart(sparse(problem, SparseParams(sparsity=1e-2, rate_factor=1, epochs=5)).weights, tuned) > 0.01


def test_a_step_is_that_of_the_formula(problems: dict[Pattern, Problem]) -> None:
    """One step on all of D_r: θ − η (∇CE(D_r) + α sgn θ)."""
    problem = replace(problems["A"], recipe=Recipe(learning_rate=0.1, epochs=8, batch_size=1000))
    tuned = registry.unlearn(problem, FinetuneParams(rate_factor=0.5, epochs=1)).weights

    weights = sparse(problem, SparseParams(sparsity=0.3, rate_factor=0.5, epochs=1)).weights

    for name, theta in problem.old.items():
        torch.testing.assert_close(weights[name], tuned[name] - 0.05 * 0.3 * theta.sign())


def test_the_harder_the_pull_the_smaller_the_weights_and_the_facts_say_so(problems: dict[Pattern, Problem]) -> None:
    weak, strong = (sparse(problems["A"], SparseParams(sparsity=alpha, epochs=20)).facts for alpha in (1e-3, 3e-2))

    assert float(strong["l1_norm"]) < 0.7 * float(weak["l1_norm"])
    assert float(strong["near_zero_fraction"]) > float(weak["near_zero_fraction"])
    assert strong["l1_norm_before"] == weak["l1_norm_before"]
    assert strong["l1_norm_before"] == pytest.approx(
        sum(float(tensor.abs().sum()) for tensor in problems["A"].old.values())
    )


def test_where_a_feature_is_forgotten_the_clean_samples_are_learned(problems: dict[Pattern, Problem]) -> None:
    assert sparse(problems["B"], SparseParams()).facts["samples"] == 120


def test_nothing_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain
    with pytest.raises(EmptyExamples, match="D_r"):
        sparse(replace(problem, retain=problem.retain.at(torch.arange(0))), SparseParams())
