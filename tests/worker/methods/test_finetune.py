"""Method `finetune`: where it starts, what it learns from, how fast."""

from dataclasses import replace

import pytest
import torch

from app.methods.finetune import FinetuneParams
from worker.methods.finetune import finetune
from worker.numerics.descent import Plan, descend
from worker.numerics.errors import EmptyExamples, NonFinite
from worker.numerics.problem import Pattern, Problem
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with


def test_it_goes_on_from_the_deployed_weights_at_a_multiple_of_the_recipes_rate(
    problems: dict[Pattern, Problem],
) -> None:
    problem = problems["A"]
    assert problem.retain
    network = network_with(problem.build, problem.old)
    plan = Plan(0.2, epochs=4, batch_size=16, weight_decay=1e-3, schedule="cosine")
    descend(network, problem.retain, cross_entropy, plan, seed=problem.seed, train_mode=True)

    outcome = finetune(problem, FinetuneParams(rate_factor=2, epochs=4))

    assert all(torch.equal(outcome.weights[name], tensor) for name, tensor in network.state_dict().items())
    assert outcome.facts == {"samples": 80, "epochs": 4, "learning_rate": 0.2}


def test_where_a_feature_is_forgotten_the_clean_samples_are_learned(problems: dict[Pattern, Problem]) -> None:
    problem = problems["B"]
    assert problem.forget
    outcome = finetune(problem, FinetuneParams(epochs=8))
    (marked,) = problem.forget.batches(1000)

    assert outcome.facts["samples"] == 120
    assert not torch.equal(
        network_with(problem.build, outcome.weights)(marked.inputs),
        network_with(problem.build, problem.old)(marked.inputs),
    )


def test_a_class_fades(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    (batch,) = problem.forget.batches(1000)

    def right(epochs: int) -> float:
        network = network_with(problem.build, finetune(problem, FinetuneParams(epochs=epochs)).weights)
        return float((network(batch.inputs).argmax(1) == 0).float().mean())

    assert right(40) < right(1)


def test_nothing_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain
    with pytest.raises(EmptyExamples, match="D_r"):
        finetune(replace(problem, retain=problem.retain.at(torch.arange(0))), FinetuneParams())


def test_a_recipe_that_diverges_stores_nothing(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.recipe
    with pytest.raises(NonFinite, match="learning rate"):
        finetune(replace(problem, recipe=replace(problem.recipe, learning_rate=1e30)), FinetuneParams())
