"""What is recorded of a training adds up to it, and says whose batches were whose."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from app.architectures.resnet18 import Resnet18Params
from tests.worker.methods.conftest import RECIPE, build, cloud, recorded
from worker.architectures import resnet18
from worker.numerics.deltas import NOBODY, Deltas, check_deltas, check_size
from worker.numerics.errors import Misfit, TooLarge
from worker.numerics.examples import TensorExamples
from worker.numerics.jacobian import flat, moved
from worker.numerics.recipe import Recipe
from worker.numerics.training import train
from worker.numerics.weights import Build, weights_of

DATA = cloud(1, 50)
SMALL = Resnet18Params(input_shape=(1, 8, 8), classes=3, width=1)
IMAGES = TensorExamples(
    torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(3)), torch.arange(50) % 3, torch.arange(50)
)
TRAININGS: dict[str, tuple[Build, TensorExamples, Recipe]] = {
    "sgd": (build, DATA, RECIPE),
    "adam": (build, DATA, replace(RECIPE, optimizer="adam", learning_rate=0.01)),
    "clipped": (build, DATA, replace(RECIPE, clip=0.1, weight_decay=0.1)),
    "batchnorm": (lambda seed: resnet18.build(SMALL, seed), IMAGES, replace(RECIPE, epochs=2)),
}


@pytest.mark.parametrize(("made", "data", "recipe"), TRAININGS.values(), ids=TRAININGS)
def test_less_every_step_the_weights_are_the_initial_ones(made: Build, data: TensorExamples, recipe: Recipe) -> None:
    old, deltas = recorded(made, recipe, data, seed=5)
    network, initial = made(0), weights_of(made(5))
    every = deltas.total(range(len(deltas.positions)), len(flat(old, network)))

    back = moved(old, network, -every)

    check_deltas(deltas, initial, old, network)
    for name, _ in network.named_parameters():
        torch.testing.assert_close(back[name], initial[name], rtol=1e-6, atol=1e-7)
        assert not torch.equal(back[name], old[name])


def test_less_no_step_they_are_what_they_were() -> None:
    old, deltas = recorded(build, RECIPE, DATA, seed=5)
    network = build(0)
    same = moved(old, network, -deltas.total([], len(flat(old, network))))
    assert all(torch.equal(same[name], old[name]) for name in old)


def test_to_record_changes_nothing() -> None:
    old, _ = recorded(build, RECIPE, DATA, seed=5)
    unwatched = train(build, RECIPE, DATA, seed=5)
    assert all(torch.equal(old[name], unwatched[name]) for name in old)


def test_every_sample_is_in_one_batch_an_epoch() -> None:
    """50 samples, 16 at a time: the last batch holds 2."""
    _, deltas = recorded(build, RECIPE, DATA, seed=5)
    epochs = deltas.positions.view(RECIPE.epochs, -1)
    for epoch in epochs:
        assert sorted(epoch[epoch != NOBODY].tolist()) == list(range(50))
    for step in deltas.seeing(torch.tensor([7])):
        assert 7 in deltas.positions[step]
    assert len(deltas.seeing(torch.tensor([7]))) == RECIPE.epochs


def test_steps_that_were_taken_back_are_not_seen_again() -> None:
    positions = torch.tensor([[0, 1], [2, NOBODY], [1, 2]])
    deltas = Deltas(positions, lambda step: torch.full((1,), 2.0**step))
    assert deltas.seeing(torch.tensor([1])) == [0, 2]
    assert replace(deltas, taken=frozenset({2})).seeing(torch.tensor([1])) == [0]
    assert deltas.seeing(torch.tensor([9])) == []
    assert deltas.total([0, 2], 1).item() == 5


def other_steps(_: Deltas) -> Deltas:
    return recorded(build, RECIPE, DATA, seed=6)[1]


def one_entry(deltas: Deltas) -> Deltas:
    """Off by a thousandth of what it did in all."""
    return replace(deltas, delta=lambda step: deltas.delta(step) + (step == 9) * 1e-3 * torch.eye(1, 123)[0])


def one_step_too_few(deltas: Deltas) -> Deltas:
    return replace(deltas, positions=deltas.positions[:-1])


def not_numbers(deltas: Deltas) -> Deltas:
    return replace(deltas, delta=lambda step: deltas.delta(step) * float("nan"))


def halves(deltas: Deltas) -> Deltas:
    return replace(deltas, delta=lambda step: deltas.delta(step).half().float())


def of_another_network(deltas: Deltas) -> Deltas:
    return replace(deltas, delta=lambda step: deltas.delta(step)[:-1])


@pytest.mark.parametrize("wrong", [other_steps, one_entry, one_step_too_few, not_numbers, halves, of_another_network])
def test_what_does_not_add_up_is_refused(wrong: Callable[[Deltas], Deltas]) -> None:
    old, deltas = recorded(build, RECIPE, DATA, seed=5)
    network: nn.Module = build(0)
    check_deltas(deltas, weights_of(build(5)), old, network)
    with pytest.raises(Misfit, match="recorded deltas"):
        check_deltas(wrong(deltas), weights_of(build(5)), old, network)


def test_the_bound_is_that_of_the_file() -> None:
    """Ten steps of 100 weights, four samples each: 10·(400 + 32) bytes."""
    check_size(10, 100, 4, most_bytes=4320)
    with pytest.raises(TooLarge, match="4,320 bytes"):
        check_size(10, 100, 4, most_bytes=4319)
