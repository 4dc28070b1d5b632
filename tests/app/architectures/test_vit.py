import pytest
from pydantic import ValidationError

from app.architectures.vit import VitParams


def test_heads_share_the_width_evenly() -> None:
    with pytest.raises(ValidationError, match="width 192 is not a multiple of heads 5"):
        VitParams(input_shape=(3, 32, 32), classes=10, heads=5)


@pytest.mark.parametrize("shape", [(3, 30, 32), (3, 32, 30), (3, 2, 2)])
def test_an_image_is_whole_patches(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValidationError, match="does not divide into patches of 4×4"):
        VitParams(input_shape=shape, classes=10, patch=4)
