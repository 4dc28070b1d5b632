"""Method `retrain`: what it learns from, and what it starts from."""

from dataclasses import replace

import torch

from app.methods.retrain import RetrainParams
from worker.methods.retrain import retrain
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import derived
from worker.numerics.training import train


def test_it_is_the_recipe_on_what_is_kept(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain
    assert problem.recipe
    expected = train(problem.build, problem.recipe, problem.retain, seed=derived(problem.seed, "retrain"))

    outcome = retrain(problem, RetrainParams())

    assert all(torch.equal(outcome.weights[name], tensor) for name, tensor in expected.items())
    assert outcome.facts["samples"] == 80


def test_where_a_feature_is_forgotten_the_clean_samples_are_kept(problems: dict[Pattern, Problem]) -> None:
    assert retrain(problems["B"], RetrainParams()).facts["samples"] == 120


def test_it_does_not_start_where_the_deployed_model_started(problems: dict[Pattern, Problem]) -> None:
    problem = replace(problems["A"], seed=5)  # the seed the deployed model was trained with
    assert problem.initial

    fresh = problem.build(derived(problem.seed, "retrain")).state_dict()

    assert not torch.equal(fresh["0.weight"], problem.initial["0.weight"])
