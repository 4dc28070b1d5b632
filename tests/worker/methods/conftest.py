"""Problems that are made up and tiny, with everything that any method needs."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from worker.numerics.concatenation import concatenated
from worker.numerics.deltas import Deltas, Recorder
from worker.numerics.descent import steps_per_epoch
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.run import Quiet
from worker.numerics.sharding import Sharded, seed_of
from worker.numerics.training import train
from worker.numerics.weights import Build, Weights, network_with, weights_of

CLASSES, FEATURES = 3, 6
RECIPE = Recipe(learning_rate=0.1, epochs=8, batch_size=16, weight_decay=1e-3)
MakeProblem = Callable[[Pattern], Problem]


def build(seed: int) -> nn.Module:
    """Six numbers to three classes: 123 weights and biases."""
    with drawn_from(seed):
        return nn.Sequential(nn.Linear(FEATURES, 12), nn.Tanh(), nn.Linear(12, CLASSES))


def build_with_statistics(seed: int) -> nn.Module:
    """The same with BatchNorm between its layers."""
    with drawn_from(seed):
        return nn.Sequential(nn.Linear(FEATURES, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, CLASSES))


def cloud(seed: int, n: int, first: int = 0) -> TensorExamples:
    """n points around the centre of their class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    centres = 2 * torch.eye(CLASSES, FEATURES)
    noise = torch.randn(n, FEATURES, generator=generator)
    return TensorExamples(centres[labels] + noise, labels, torch.arange(first, first + n))


def with_mark(inputs: Tensor) -> Tensor:
    """The information of patterns B and C: the last feature shouts."""
    return torch.cat([inputs[:, :-1], torch.full((len(inputs), 1), 5.0)], dim=1)


def without_mark(inputs: Tensor) -> Tensor:
    return torch.cat([inputs[:, :-1], torch.zeros(len(inputs), 1)], dim=1)


def recorded(build: Build, recipe: Recipe, examples: Examples, *, seed: int) -> tuple[Weights, Deltas]:
    """What training leads to, and what each of its steps did."""
    steps = recipe.epochs * steps_per_epoch((examples,), recipe.batch_size, train_mode=True)
    parameters = sum(theta.numel() for theta in build(seed).parameters())
    positions = torch.zeros(steps, recipe.batch_size, dtype=torch.int64)
    recorder = Recorder(Quiet(), "train", torch.zeros(steps, parameters), positions)
    old = train(build, recipe, examples, seed=seed, run=recorder, watch=recorder.watch)
    return old, recorder.recorded


def made(pattern: Pattern, build: Build = build) -> Problem:
    training = cloud(1, 120)
    asked = training.labels == 0
    if pattern != "A":
        training = replace(training, raw=torch.where(asked[:, None], with_mark(training.raw), training.raw))
    forget, retain = training.where(asked), training.where(~asked)
    old, deltas = recorded(build, RECIPE, training, seed=5)
    return Problem(
        build=build,
        old=old,
        classes=CLASSES,
        pattern=pattern,
        seed=7,
        forget=forget,
        forget_clean=None if pattern == "A" else forget.through(without_mark),
        retain=retain,
        held_out=cloud(2, 60, first=120),
        transform=None if pattern == "A" else with_mark,
        fisher=fisher_diagonal(network_with(build, old), training),
        initial=weights_of(build(5)),
        deltas=deltas,
        recipe=RECIPE,
        forgotten_class=0 if pattern == "A" else None,
    )


def scattered(problem: Problem) -> Problem:
    """The model of pattern A, which is to forget samples of every class."""
    training = cloud(1, 120)
    asked = training.positions % 4 == 0
    return replace(problem, forget=training.where(asked), retain=training.where(~asked), forgotten_class=None)


def in_shards(problem: Problem) -> Problem:
    """The same data, learned by two networks in shards."""
    assert problem.forget
    assert problem.retain

    def sharded(seed: int) -> nn.Module:
        return Sharded([build(seed_of(seed, shard)) for shard in range(2)])

    old = train(sharded, RECIPE, concatenated(problem.forget, problem.retain), seed=5)
    return replace(problem, build=sharded, old=old, initial=weights_of(sharded(5)), fisher=None)


@pytest.fixture(scope="session")
def problems() -> dict[Pattern, Problem]:
    """One problem for each pattern. Frozen; a test that must not share `run` replaces it."""
    return {"A": made("A"), "B": made("B"), "C": made("C")}


@pytest.fixture(scope="session")
def with_statistics() -> dict[Pattern, Problem]:
    """The same for a network with BatchNorm, under a decay that moves every weight that is free to move."""
    recipe = replace(RECIPE, weight_decay=0.1)
    patterns: tuple[Pattern, ...] = ("A", "B")
    return {pattern: replace(made(pattern, build_with_statistics), recipe=recipe) for pattern in patterns}
