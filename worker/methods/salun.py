"""Method `salun`: D_f learns random labels through the weights that are salient for it, beside D_r."""

from collections.abc import Mapping
from dataclasses import replace
from math import cos, pi

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from app.methods.salun import SalunParams
from worker.numerics.cycling import side_by_side
from worker.numerics.descent import Objective, Plan, descend
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.examples import Batch, Examples
from worker.numerics.guards import changed, felt
from worker.numerics.labels import random_labels
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.run import Fact
from worker.numerics.saliency import mean_gradient
from worker.numerics.selection import select, threshold
from worker.numerics.weights import Weights, network_with, weights_of

RATE_FACTOR = 0.1
"""Measured with α and the epochs on validation data (small CNN, Fashion-MNIST): a class falls to 0 with the others at
.90, as after retraining; random samples to .89 (.94 before, .88 retrained), the rest at .87 (.88). With α = 1, as
published, and half the peak rate D_f rules every step, and the rest falls to .85."""


def salun(problem: Problem, params: SalunParams) -> Outcome:
    """Random labels on D_f and true ones on D_r, in every step.

        L = 1/B Σ CE(f_θ(x_f), u) + α/B Σ CE(f_θ(x_r), y_r),   u ≠ y_f uniform, drawn anew at every step

        hard   S = the fraction of all weights with the largest |∇_θ L_f(θ_old)|,  L_f: cross entropy on D_f
               θ_S ← descend L over θ_S alone; every other weight stays bit for bit
        soft   minimise L + β‖θ − θ_old‖₁: after every epoch of descent at rate η, K steps long,
               δ ← sgn(δ) max(|δ| − βηK, 0),  δ = θ − θ_old: what is not worth moving goes back to where it was

    D_f and D_r go side by side, the smaller repeated. In train mode: the running statistics of BatchNorm follow both.

    Raises:
        EmptyExamples: D_f or D_r is empty.
        NothingToDo: the loss on D_f has no gradient, no weight moved, or no output on D_f changed.
        NonFinite: it diverged.

    Source: Fan et al. 2024, §4 (equations 4 to 6); the soft variant with one proximal step an epoch instead of one a
    step.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    recipe = required(problem.recipe, "the recipe")
    if not len(forget) or not len(retain):
        raise EmptyExamples("SalUn learns D_f and D_r side by side, and one of them is empty: name other samples")
    network = network_with(problem.build, problem.old)
    feed = side_by_side(forget, retain)
    plan = replace(
        Plan.of(recipe),
        learning_rate=params.learning_rate or RATE_FACTOR * recipe.learning_rate,
        epochs=params.epochs,
        schedule="cosine",
    )

    def objective(network: nn.Module, forget: Batch, retain: Batch) -> Tensor:
        wrong = random_labels(forget.labels, problem.classes, include_true=False)
        forgetting = cross_entropy(network(forget.inputs), wrong)
        return forgetting + params.retain_strength * cross_entropy(network(retain.inputs), retain.labels)

    carry_out = _hard if params.variant == "hard" else _soft
    facts = carry_out(problem, params, network, feed, objective, plan)
    new = felt(problem, changed(problem.old, weights_of(network)), forget)
    return Outcome(new, {**facts, "epochs": plan.epochs, "learning_rate": plan.learning_rate})


def _hard(
    problem: Problem,
    params: SalunParams,
    network: nn.Module,
    feed: tuple[Examples, ...],
    objective: Objective,
    plan: Plan,
) -> Mapping[str, Fact]:
    forget = required(problem.forget, "D_f")
    gradient = mean_gradient(network, forget, run=problem.run, phase="saliency")
    scores = {name: g.abs() for name, g in gradient.items()}
    selection = select(scores, threshold(scores, params.fraction))
    if not selection.size:
        raise NothingToDo("the loss on D_f has no gradient, so that no weight is salient: use the soft variant")
    statistics = {name: torch.ones_like(b, dtype=torch.bool) for name, b in network.named_buffers()}
    descend(
        network,
        feed,
        objective,
        plan,
        seed=problem.seed,
        run=problem.run,
        phase="forget",
        only={**selection.masks, **statistics},
        train_mode=True,
    )
    return {
        "selected_fraction": selection.fraction,
        "selected": selection.size,
        "threshold": selection.threshold,
        "moved_statistics": len(statistics),
    }


def _soft(
    problem: Problem,
    params: SalunParams,
    network: nn.Module,
    feed: tuple[Examples, ...],
    objective: Objective,
    plan: Plan,
) -> Mapping[str, Fact]:
    steps = -(-len(feed[0]) // plan.batch_size)
    for epoch in range(plan.epochs):
        rate = plan.learning_rate * (1 + cos(pi * epoch / plan.epochs)) / 2
        once = replace(plan, learning_rate=rate, epochs=1, schedule="constant")
        descend(
            network,
            feed,
            objective,
            once,
            seed=derived(problem.seed, "salun", epoch),
            run=problem.run,
            phase=f"forget_{epoch + 1}",
            train_mode=True,
        )
        drawn_back(network, problem.old, params.sparsity * rate * steps)
    parameters = dict(network.named_parameters())
    moved = sum(int((theta != problem.old[name]).sum()) for name, theta in parameters.items())
    return {
        "selected_fraction": moved / sum(theta.numel() for theta in parameters.values()),
        "selected": moved,
        "moved_statistics": sum(1 for _ in network.buffers()),
    }


@torch.no_grad()
def drawn_back(network: nn.Module, old: Weights, distance: float) -> None:
    """Move every parameter towards its old value, and not past it: the proximal step of β‖θ − θ_old‖₁, in place.

    Args:
        network: θ, written to.
        old: θ_old.
        distance: how far.
    """
    for name, theta in network.named_parameters():
        delta = theta - old[name]
        far = delta.abs() > distance
        theta.copy_(torch.where(far, theta - distance * delta.sign(), old[name]))
