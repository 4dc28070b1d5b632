"""Surrogates: shapes, ranges, one seed one result, and what each step of the augmentation does."""

import pytest
import torch
from torch import Tensor

from worker.numerics import surrogates as made
from worker.numerics.randomness import drawn_from


def images(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 20), (1, 5, 4)])
def test_images_become_other_images_of_that_shape_and_range(shape: tuple[int, ...]) -> None:
    pool = images(7, *shape)
    before = pool.clone()

    with drawn_from(1):
        z = made.surrogates(pool, 500)

    assert z.shape == (500, *shape)
    assert z.dtype == torch.float32
    assert z.isfinite().all()
    assert z.min() >= 0
    assert 0.9 < z.max() <= 1
    assert len({tuple(one.flatten().tolist()) for one in z}) > 480  # moved out of sight, a few come out black
    assert torch.equal(pool, before)


@pytest.mark.parametrize("pool", [images(7, 1, 8, 8), images(7, 5)], ids=["images", "features"])
def test_one_seed_one_result(pool: Tensor) -> None:
    drawn = []
    for seed in (1, 1, 2):
        with drawn_from(seed):
            drawn.append(made.surrogates(pool, 20))

    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("shape", [(1, 8, 8), (5,)], ids=["images", "features"])
def test_one_input_is_enough_to_make_many_of(shape: tuple[int, ...]) -> None:
    with drawn_from(0):
        assert made.surrogates(images(1, *shape), 9).shape == (9, *shape)


def test_a_fifth_of_the_images_stays_where_it_is_and_the_rest_moves() -> None:
    x = images(1, 1, 12, 12).repeat(2000, 1, 1, 1)
    with drawn_from(0):
        z = made.moved(x)
    still = torch.isclose(z, x, atol=1e-5).all(3).all(2).all(1)

    assert still.float().mean() == pytest.approx(0.2, abs=0.03)
    assert (z[~still] == 0).any()  # black comes in from outside


def test_a_centred_disc_is_at_home_under_every_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "MOVED", 1.0)
    for other in ("LOG_SCALE", "SHEAR", "SHIFT"):
        monkeypatch.setattr(made, other, 0.0)
    y, x = torch.meshgrid(torch.arange(21.0) - 10, torch.arange(21.0) - 10, indexing="ij")
    disc = (-(x**2 + y**2) / 30).exp()[None, None]
    bar = (-(x**2) / 4 - (y**2) / 60).exp()[None, None]

    with drawn_from(0):
        turned = made.moved(disc.repeat(50, 1, 1, 1))
        turned_bar = made.moved(bar.repeat(50, 1, 1, 1))

    assert (turned - disc).abs().max() < 0.02
    assert (turned_bar - bar).abs().amax((1, 2, 3)).median() > 0.5


def test_a_mixture_is_one_of_six() -> None:
    a, b = torch.full((900, 1, 6, 6), 0.5), torch.full((900, 1, 6, 6), 0.75)
    with drawn_from(0):
        z = made.mixed(a, b).flatten(1)
    low, high = z.amin(1), z.amax(1)
    seen = {
        "keep": ((low == 0.5) & (high == 0.5)),
        "max": ((low == 0.75) & (high == 0.75)),
        "product": ((low == 0.375) & (high == 0.375)),
        "half and half": ((low == 0.5) & (high == 0.75)),
        "half and black": ((low == 0.0) & (high == 0.5)),
        "difference": ((low == 0.25) & (high == 0.25)),
    }

    for way, found in seen.items():
        assert found.float().mean() == pytest.approx(1 / 6, abs=0.06), way
    assert torch.stack(list(seen.values())).any(0).all()


def test_a_half_plane_leaves_something_on_both_sides() -> None:
    with drawn_from(0):
        side = made.half_planes(300, 9, 13)

    assert side.shape == (300, 1, 9, 13)
    covered = side.float().mean((1, 2, 3))
    assert (covered > 0.1).all()
    assert (covered < 0.9).all()
    assert covered.mean() == pytest.approx(0.5, abs=0.05)


def test_smooth_noise_is_noise_and_smooth() -> None:
    with drawn_from(0):
        noise = made.smooth_noise((40, 3, 28, 28))

    assert noise.shape == (40, 3, 28, 28)
    assert 0 <= noise.min() < 0.05
    assert 0.95 < noise.max() <= 1
    assert (noise[..., 1:] - noise[..., :-1]).abs().max() < 0.3  # 27 steps over 6 of the coarse grid
    assert noise.flatten(2).std(2).min() > 0.05


def test_features_are_recombined_about_their_own_scale_and_a_constant_one_stays() -> None:
    pool = torch.stack([torch.linspace(-3, 3, 50), torch.linspace(1000, 1100, 50), torch.full((50,), 5.0)], 1)

    with drawn_from(0):
        z = made.recombined(pool, 4000)

    assert (z[:, 2] == 5).all()
    assert z[:, 0].mean() == pytest.approx(0, abs=0.2)
    assert z[:, 1].mean() == pytest.approx(1050, abs=3)
    for feature in (0, 1):
        spread = z[:, feature].std() / pool[:, feature].std()
        assert 0.8 < spread < 1.3
    assert 0.3 < torch.corrcoef(z[:, :2].T)[0, 1] < 0.95  # they went together in the pool; crossing them loosens that


def test_features_may_have_any_shape_but_that_of_images() -> None:
    with drawn_from(0):
        assert made.surrogates(torch.rand(6, 4, 3), 5).shape == (5, 4, 3)
