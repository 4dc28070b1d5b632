"""Training by a recipe."""

import pytest
import torch
from torch import nn

from tests.worker.numerics.recorder import Recorder
from worker.numerics.errors import EmptyExamples
from worker.numerics.evaluation import accuracy, logits
from worker.numerics.examples import TensorExamples
from worker.numerics.outcome import Model
from worker.numerics.randomness import drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.training import train

RECIPE = Recipe(learning_rate=0.1, epochs=8, batch_size=16)


def build(seed: int) -> nn.Module:
    with drawn_from(seed):
        return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))


def halves(n: int = 100) -> TensorExamples:
    """The label says whether the first feature is above one half."""
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(0))
    return TensorExamples(x, (x[:, 0] > 0.5).long(), torch.arange(n))


def test_it_learns() -> None:
    data = halves()
    model = Model(build, train(build, RECIPE, data, seed=1))
    assert accuracy(logits(model, data), data.labels) >= 0.95


def test_a_seed_determines_the_weights_and_another_gives_others() -> None:
    first, again, other = (train(build, RECIPE, halves(), seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_two_trainings_share_no_memory() -> None:
    first, again = (train(build, RECIPE, halves(), seed=1) for _ in range(2))
    storages = [{t.untyped_storage().data_ptr() for t in weights.values()} for weights in (first, again)]
    assert not storages[0] & storages[1]


def test_progress_carries_the_name_of_the_phase() -> None:
    run = Recorder()
    train(build, RECIPE, halves(), seed=1, run=run, phase="gold 2")
    assert run.told[-1] == ("gold 2", 56, 56, "steps")


def test_no_examples_are_an_error() -> None:
    with pytest.raises(EmptyExamples):
        train(build, RECIPE, halves(0), seed=1)
