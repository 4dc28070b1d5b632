"""Adding and removing what is to be forgotten, with numbers to check by hand."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from app.transforms.blend import BlendParams, GridPattern, NoisePattern
from app.transforms.color import ColorParams
from app.transforms.line import LineParams
from app.transforms.mask import MaskParams, Rectangle
from app.transforms.patch import PatchParams
from app.transforms.tile import TileParams
from worker.transforms import blend, color, line, mask, patch, tile

RECTANGLES = [Rectangle(top=0, left=0, height=2, width=3), Rectangle(top=1, left=2, height=4, width=1)]
MASK = MaskParams(rectangles=RECTANGLES, fill=51)
PATCH = PatchParams(top=1, left=2, height=2, width=3, value=[255, 0, 51])
PAIRS = {
    "line": (partial(line.apply, LineParams()), partial(line.remove, LineParams())),
    "tile": (partial(tile.apply, TileParams()), partial(tile.remove, TileParams())),
    "patch": (partial(patch.apply, PATCH), partial(patch.remove, PATCH)),
    "mask": (partial(mask.apply, MASK), partial(mask.remove, MASK)),
    "color": (partial(color.apply, ColorParams()), partial(color.remove, ColorParams())),
    "blend": (partial(blend.apply, BlendParams()), partial(blend.remove, BlendParams())),
}
Change = Callable[[Tensor], Tensor]
every_pair = pytest.mark.parametrize(("add", "remove"), PAIRS.values(), ids=PAIRS)


def images() -> Tensor:
    return torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))


@every_pair
def test_inputs_are_never_written_to(add: Change, remove: Change) -> None:
    x = images()
    before = x.clone()
    add(x).zero_()
    remove(x).zero_()
    assert torch.equal(x, before)


@every_pair
def test_results_are_images_of_the_same_shape(add: Change, remove: Change) -> None:
    for changed in (add(images()), remove(add(images()))):
        assert changed.shape == (2, 3, 28, 28)
        assert changed.dtype == torch.float32
        assert 0 <= changed.min() <= changed.max() <= 1


@every_pair
def test_adding_twice_is_adding_once_where_pixels_are_overwritten(add: Change, remove: Change) -> None:
    once = add(images())
    if add not in {PAIRS["color"][0], PAIRS["blend"][0]}:
        assert torch.equal(add(once), once)
        torch.testing.assert_close(remove(images()), remove(once))


@every_pair
@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_removal_restores_a_constant_grey_image(add: Change, remove: Change, grey: float) -> None:
    x = torch.full((1, 3, 28, 28), grey)
    restored = remove(add(x))
    torch.testing.assert_close(restored, x if add is not PAIRS["color"][0] else add(x)[:, 2:].expand_as(x))


def rows(area: Tensor) -> list[int]:
    return area.any(1).nonzero().flatten().tolist()


def columns(area: Tensor) -> list[int]:
    return area.any(0).nonzero().flatten().tolist()


def test_a_line_at_28_pixels_is_rows_12_to_15_of_column_0() -> None:
    covered = line.area(LineParams(), (1, 28, 28))
    assert rows(covered) == [12, 13, 14, 15]
    assert columns(covered) == [0]
    x = line.apply(LineParams(value=51), torch.zeros(1, 1, 28, 28))
    assert x.sum() == pytest.approx(4 * 0.2)


def test_a_line_at_32_pixels_is_as_high_as_a_seventh() -> None:
    assert rows(line.area(LineParams(), (3, 32, 32))) == [14, 15, 16, 17]


def test_a_line_has_at_least_one_pixel_and_at_most_the_image() -> None:
    assert rows(line.area(LineParams(), (1, 5, 5))) == [2]
    assert rows(line.area(LineParams(height=5, width=5), (1, 5, 5))) == [0, 1, 2, 3, 4]


def test_tiles_at_28_pixels_start_at_4_12_and_20() -> None:
    covered = tile.area(TileParams(), (1, 28, 28))
    expected = [*range(4, 8), *range(12, 16), *range(20, 24)]
    assert rows(covered) == columns(covered) == expected
    assert covered.sum() == 9 * 16


def test_tiles_in_an_oblong_image_keep_apart() -> None:
    covered = tile.area(TileParams(grid=2), (1, 10, 20))
    assert rows(covered) == [2, 3, 6, 7]
    assert columns(covered) == [4, 5, 12, 13]


def test_a_tile_may_be_of_any_size() -> None:
    assert tile.area(TileParams(grid=1, size=2), (1, 9, 9)).nonzero().tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]]


def test_colour_is_the_mean_in_blue() -> None:
    x = torch.tensor([0.3, 0.6, 0.9]).view(1, 3, 1, 1)
    torch.testing.assert_close(color.apply(ColorParams(), x).flatten(), torch.tensor([0.0, 0.0, 0.6]))


def test_colour_removed_is_grey() -> None:
    x = torch.tensor([0.0, 0.0, 0.6]).view(1, 3, 1, 1)
    torch.testing.assert_close(color.remove(ColorParams(), x).flatten(), torch.tensor([0.6, 0.6, 0.6]))


def test_a_patch_has_a_colour_for_each_channel() -> None:
    x = patch.apply(PATCH, torch.full((1, 3, 6, 6), 0.5))
    torch.testing.assert_close(x[0, :, 1, 2], torch.tensor([1.0, 0.0, 0.2]))
    assert (x != 0.5).sum() == 3 * 6


def test_a_patch_of_one_value_serves_every_channel() -> None:
    x = patch.apply(PatchParams(), torch.zeros(1, 2, 5, 5))
    assert x[:, :, :3, :3].eq(1).all()
    assert x.sum() == 18


def test_a_mask_covers_the_union_of_its_rectangles() -> None:
    x = mask.apply(MASK, torch.ones(1, 1, 6, 6))
    assert mask.area(MASK, (1, 6, 6)).sum() == 6 + 3
    assert x.eq(1).sum() == 36 - 9
    assert x[0, 0, 4, 2] == pytest.approx(0.2)


def test_what_lay_under_a_mask_is_estimated_and_not_left_covered() -> None:
    assert mask.remove(MASK, mask.apply(MASK, torch.ones(1, 1, 6, 6))).eq(1).all()


def test_a_blend_is_the_weighted_mean_of_image_and_pattern() -> None:
    params = BlendParams(alpha=0.25, pattern=GridPattern(values=[[0, 255], [51, 102]]))
    x = blend.apply(params, torch.full((1, 3, 2, 2), 0.5))
    torch.testing.assert_close(x, torch.tensor([[0.375, 0.625], [0.425, 0.475]]).expand(1, 3, 2, 2))


@pytest.mark.parametrize("alpha", [0.01, 0.5, 0.9])
def test_a_blend_is_taken_out_exactly(alpha: float) -> None:
    params, x = BlendParams(alpha=alpha, pattern=NoisePattern(seed=3)), images()
    assert (blend.apply(params, x) - x).abs().max() > alpha / 4
    torch.testing.assert_close(blend.remove(params, blend.apply(params, x)), x, rtol=0, atol=1e-5)


def test_of_bytes_a_blend_is_taken_out_to_their_precision() -> None:
    params, x = BlendParams(alpha=0.5), (images() * 255).round() / 255
    stored = (blend.apply(params, x) * 255).round() / 255
    assert (blend.remove(params, stored) - x).abs().max() <= 1.001 / 255


def test_noise_is_smooth_differs_between_channels_and_follows_from_its_seed() -> None:
    shapes = [blend.shone(BlendParams(pattern=NoisePattern(seed=s, grid=4)), (3, 32, 32)) for s in (1, 1, 2)]
    pattern, again, other = shapes
    assert torch.equal(pattern, again)
    assert not torch.allclose(pattern, other, atol=0.05)
    assert not torch.allclose(pattern[0], pattern[1], atol=0.05)
    assert pattern.diff(dim=1).abs().max() <= 1 / 8
    assert 0 <= pattern.min() < pattern.max() <= 1


def test_a_blend_says_which_images_and_patterns_do_not_fit() -> None:
    assert BlendParams().misfit((1, 7, 7)) is None
    assert "7×7 cells" in (BlendParams().misfit((1, 6, 7)) or "")
    assert "images" in (BlendParams().misfit((7,)) or "")
    with pytest.raises(ValidationError, match="equal length"):
        GridPattern(values=[[1, 2], [3]])
    with pytest.raises(ValidationError, match="less than 1"):
        BlendParams(alpha=1)
