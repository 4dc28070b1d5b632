"""Training by a recipe."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.worker.numerics.recorder import Recorder
from worker.numerics.augmentation import HorizontalFlip, RandomCrop
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.evaluation import accuracy, logits
from worker.numerics.examples import Normalisation, TensorExamples
from worker.numerics.outcome import Model
from worker.numerics.randomness import drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.training import sd_loss, train

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


def test_the_sd_loss_of_two_samples_by_hand() -> None:
    """ln(1 + e⁻²) = .126928 with deviation 1; ln 2 = .693147 with deviation 0: .410038 + 3·.5."""
    logits = torch.tensor([[2.0, 0.0], [1.0, 1.0]], requires_grad=True)
    loss = sd_loss(logits, torch.tensor([0, 1]), 3.0)
    assert loss.item() == pytest.approx(1.910038, abs=1e-6)
    (slope,) = torch.autograd.grad(loss, logits)
    # p − 1 = −.119203 and the deviation's ±½, halved by the mean; equal logits: those of cross entropy alone
    torch.testing.assert_close(slope, torch.tensor([[-0.059601 + 0.75, 0.059601 - 0.75], [0.25, -0.25]]))


def test_the_sd_loss_keeps_logits_together() -> None:
    spread = {}
    for recipe in (RECIPE, replace(RECIPE, loss="sd", sd_strength=1.0)):
        data = halves()
        spread[recipe.loss] = logits(Model(build, train(build, recipe, data, seed=1)), data).std(1).mean()
    assert spread["sd"] < 0.5 * spread["cross_entropy"]


def test_an_sd_loss_without_its_strength_is_an_error() -> None:
    with pytest.raises(Misfit):
        train(build, replace(RECIPE, loss="sd"), halves(), seed=1)


def test_the_recipe_says_which_optimizer() -> None:
    first, other = (train(build, replace(RECIPE, optimizer=o), halves(), seed=1) for o in ("sgd", "adam"))
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_images_are_augmented_anew_in_every_step_and_the_seed_decides_how() -> None:
    """Images whose columns are 0..5 and black beside them: a row of the crop says where it was taken from."""
    seen: list[torch.Tensor] = []
    ramp = torch.arange(1, 7).repeat(8, 1, 6, 1).to(torch.uint8)
    data = TensorExamples(ramp, torch.arange(8) % 2, torch.arange(8), Normalisation((0.5,), (0.1,)))

    def eye(_: int) -> nn.Module:
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
        net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        return net

    recipe = Recipe(0.1, epochs=2, batch_size=8, augmentation=(RandomCrop(2),))
    train(eye, recipe, data, seed=3)
    train(eye, recipe, data, seed=3)
    first, second, again, _ = (((t * 0.1 + 0.5) * 255).round().int()[:, 0, 3] for t in seen)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    windows = {tuple(([0, 0, 1, 2, 3, 4, 5, 6, 0, 0])[k : k + 6]) for k in range(5)}
    assert {tuple(row) for row in torch.cat([first, second]).tolist()} <= windows


def test_what_is_no_image_is_not_augmented() -> None:
    with pytest.raises(Misfit):
        train(build, replace(RECIPE, augmentation=(HorizontalFlip(),)), halves(), seed=1)


def test_no_examples_are_an_error() -> None:
    with pytest.raises(EmptyExamples):
        train(build, RECIPE, halves(0), seed=1)
