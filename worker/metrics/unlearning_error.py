"""Metric `unlearning_error`: how far can the weights be from retrained ones, judging by how they were trained?"""

from math import ceil, sqrt

import torch

from app.metrics.unlearning_error import UnlearningErrorParams
from worker.numerics.concatenation import concatenated
from worker.numerics.hessian import top_eigenvalue
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.randomness import derived
from worker.numerics.training import objective_of
from worker.numerics.weights import apart, network_with

CAVEATS = (
    "a proxy: it foretells how far unlearning by one step stays from retraining, and is no measured distance",
    "the rate is the recipe's largest, whatever its schedule",
)


def unlearning_error(bench: Bench, params: UnlearningErrorParams) -> list[Finding]:
    """The error of unlearning by a single step, from the training alone.

        e = η² · t · ½ ‖θ_t − θ₀‖₂ · σ,    σ = √|λ_max| of the Hessian of the loss on training data

    η and t are the rate and the steps of the recipe on all the data that the deployed model saw, θ₀ the weights before
    training. For the model after the job, θ_t are its weights, so that both say how far training has gone. Nothing of
    a gold model: it began elsewhere. The interval is the value; the no-op control draws other samples for the Hessian.
    Without θ₀, a recipe of SGD, D_f or D_r no finding.

    Source: Thudi et al. 2022, §5; their code takes the root of the eigenvalue, over 512 samples.
    """
    recipe, there = bench.recipe, {"forget", "retain"} <= bench.sets.keys()
    if recipe is None or recipe.optimizer != "sgd" or bench.initial is None or not there:
        return []
    initial, seen = bench.initial, concatenated(bench.sets["forget"], bench.sets["retain"])
    names = [name for name, _ in bench.before.build(0).named_parameters()]
    steps = recipe.epochs * ceil(len(seen) / recipe.batch_size)

    def error(model: Model, control: str = "audit") -> float:
        generator = torch.Generator().manual_seed(derived(bench.seed, params.name, control))
        drawn = seen.at(torch.randperm(len(seen), generator=generator)[: params.samples])
        network = network_with(model.build, model.weights)
        sigma = sqrt(abs(top_eigenvalue(network, drawn, objective_of(recipe), seed=bench.seed, run=bench.run)))
        return foretold(recipe.learning_rate, steps, apart(model.weights, initial, names), sigma)

    after = error(bench.after)
    return [
        Finding(
            metric=params.name,
            measure="unlearning_error",
            on="weights",
            direction="lower",
            n=min(params.samples, len(seen)),
            before=error(bench.before),
            after=after,
            no_op=error(bench.before, "no-op"),
            gold=(),
            interval=(after, after),
            caveats=CAVEATS,
        )
    ]


def foretold(rate: float, steps: int, drift: float, sigma: float) -> float:
    """The product η² · t · ½ ‖θ_t − θ₀‖₂ · σ."""
    return rate**2 * steps / 2 * drift * sigma
