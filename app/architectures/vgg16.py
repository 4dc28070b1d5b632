"""Parameters of `vgg16`: the plain deep convolutional network, with batch normalisation, for small images."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import ArchitectureParams

STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Channels of the convolutions before each pooling, in units of `width`."""


class Vgg16Params(ArchitectureParams):
    """VGG-16 with batch normalisation and one linear layer at the end instead of three, for images of about 32×32."""

    paper: ClassVar[str] = (
        "Simonyan & Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2015"
    )

    name: Literal["vgg16"] = "vgg16"
    input_shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]]
    """(C, H, W); H and W at least 32, since they are halved five times."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    width: Annotated[int, Field(ge=1, le=512)] = 64
    """Channels of the first two convolutions; the published network has 64."""

    @property
    def weight_count(self) -> int:
        """Thirteen 3×3 convolutions with biases, two numbers a channel for each normalisation, the linear layer."""
        channels = [self.input_shape[0], *(self.width * units for stage in STAGES for units in stage)]
        convolutions = sum(9 * a * b + 3 * b for a, b in pairwise(channels))
        return convolutions + (channels[-1] + 1) * self.classes
