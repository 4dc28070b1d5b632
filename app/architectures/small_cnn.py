"""Parameters of `small_cnn`: a convolutional network that trains in seconds on a CPU."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import ArchitectureParams


class SmallCnnParams(ArchitectureParams):
    """Two 3×3 convolutions of `width` and 2·`width` channels, each with ReLU and 2×2 pooling; two linear layers."""

    paper: ClassVar[str] = "LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998"

    name: Literal["small_cnn"] = "small_cnn"
    input_shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=4)], Annotated[int, Field(ge=4)]]
    """(C, H, W); H and W at least 4."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    width: Annotated[int, Field(ge=1, le=1024)] = 32
    """Channels of the first convolution."""
    hidden: Annotated[int, Field(ge=1, le=65_536)] = 128
    """Width of the first linear layer."""

    @property
    def weight_count(self) -> int:
        """Two convolutions, two linear layers, their biases."""
        channels, height, width = self.input_shape
        features = 2 * self.width * (height // 4) * (width // 4)
        convolutions = (9 * channels + 1) * self.width + (9 * self.width + 1) * 2 * self.width
        return convolutions + (features + 1) * self.hidden + (self.hidden + 1) * self.classes
