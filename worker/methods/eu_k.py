"""Method `eu_k`: the last layers again from the start."""

import torch

from app.methods.eu_k import EuKParams
from worker.numerics.descent import descend
from worker.numerics.examples import Examples
from worker.numerics.finetuning import fine_tuning, kept
from worker.numerics.guards import changed
from worker.numerics.layers import Halves, halves, last_layers, seen_through
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.training import objective_of, with_augmentation
from worker.numerics.weights import network_with, weights_of

FEATURE_BYTES = 1 << 30
"""Features up to this size are computed once and kept in memory; larger ones anew in every epoch."""


def eu_k(problem: Problem, params: EuKParams) -> Outcome:
    """EU-k: what the last k layers remember goes with them; what the others do, stays.

        θ = (θ_below, θ_head),   θ_head ← a fresh initialisation
        θ_head ← descend L(D_r) over θ_head alone                 pattern A; B, C: D_r ∪ D_f,clean

    L is the recipe's loss. Layers below are bit-identical afterwards, statistics of BatchNorm included. Where the
    network is a plain sequence of layers and the recipe augments nothing, h = trunk(x) is computed once for every x,
    without dropout, and the epochs are those of the head alone.

    Nothing is exact about it: the layers below have learned from D_f.

    Raises:
        EmptyExamples: D_r is empty.
        Misfit: the network has fewer than k layers.
        NonFinite: it diverged.

    Source: Goel et al. 2022, §4 (EU-k); computing the features once is ours. `benchmarks/random_samples.py` compares.
    """
    examples, recipe = kept(problem), required(problem.recipe, "the recipe")
    network = network_with(problem.build, problem.old)
    names, seed = last_layers(network, params.layers), derived(problem.seed, "eu_k")
    fresh = problem.build(seed).state_dict()
    network.load_state_dict({name: fresh[name] if name in names else old for name, old in problem.old.items()})
    plan = fine_tuning(recipe, rate_factor=params.rate_factor, epochs=params.epochs or recipe.epochs)
    parts = None if recipe.augmentation else halves(network, names)
    stored = parts is not None and feature_bytes(parts, examples) <= FEATURE_BYTES
    if parts is not None and stored:
        features = seen_through(parts.trunk, examples, run=problem.run)
        descend(
            parts.head, features, objective_of(recipe), plan, seed=seed, run=problem.run, phase="head", train_mode=True
        )
    else:
        objective = with_augmentation(recipe, examples.normalisation)
        only = {name: torch.ones_like(fresh[name], dtype=torch.bool) for name in names}
        descend(
            network, examples, objective, plan, seed=seed, run=problem.run, phase="head", only=only, train_mode=True
        )
    weights = dict(network.named_parameters())
    facts = {
        "samples": len(examples),
        "epochs": plan.epochs,
        "learning_rate": plan.learning_rate,
        "selected_fraction": sum(w.numel() for n, w in weights.items() if n in names)
        / sum(w.numel() for w in weights.values()),
        "features_stored": int(stored),
    }
    return Outcome(changed(problem.old, weights_of(network)), facts)


def feature_bytes(parts: Halves, examples: Examples) -> int:
    """Memory that the features of all examples take."""
    with torch.no_grad():
        one = parts.trunk(next(examples.at(torch.arange(1)).batches(1)).inputs)
    size: int = one.numel() * one.element_size()
    return len(examples) * size
