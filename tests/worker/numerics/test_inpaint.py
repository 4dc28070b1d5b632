"""Filling in what was overwritten, with numbers to check by hand."""

import torch

from worker.numerics.inpaint import inpaint


def test_a_pixel_becomes_the_mean_of_its_known_neighbours() -> None:
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 9.0, 0.0], [1.0, 0.0, 1.0]]).view(1, 1, 3, 3)
    unknown = torch.zeros(3, 3, dtype=torch.bool)
    unknown[1, 1] = True
    assert inpaint(x, unknown)[0, 0, 1, 1] == 0.5


def test_a_corner_looks_only_inside_the_image() -> None:
    x = torch.tensor([[9.0, 0.3], [0.6, 0.9]]).view(1, 1, 2, 2)
    unknown = torch.tensor([[True, False], [False, False]])
    torch.testing.assert_close(inpaint(x, unknown)[0, 0, 0, 0], torch.tensor(0.6))


def test_rings_grow_inwards_from_what_is_known_by_then() -> None:
    x = torch.tensor([[0.2, 9.0, 9.0, 9.0]]).view(1, 1, 1, 4)
    torch.testing.assert_close(inpaint(x, torch.tensor([[False, True, True, True]])), torch.full_like(x, 0.2))


def test_known_pixels_and_the_inputs_are_left_alone() -> None:
    x = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    before, unknown = x.clone(), torch.rand(6, 5, generator=torch.Generator().manual_seed(1)) < 0.6
    filled = inpaint(x, unknown)
    assert torch.equal(x, before)
    assert torch.equal(filled[..., ~unknown], x[..., ~unknown])


def test_overwritten_values_do_not_leak() -> None:
    x, unknown = torch.full((1, 1, 8, 8), 0.25), torch.zeros(8, 8, dtype=torch.bool)
    unknown[2:7, 2:7] = True
    torch.testing.assert_close(inpaint(x.masked_fill(unknown, torch.nan), unknown), x)


def test_where_nothing_is_known_everything_is_grey() -> None:
    assert inpaint(torch.ones(1, 1, 2, 2), torch.ones(2, 2, dtype=torch.bool)).eq(0.5).all()
