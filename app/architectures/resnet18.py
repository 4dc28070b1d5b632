"""Parameters of `resnet18`: the residual network with the stem for small images."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import ArchitectureParams


class Resnet18Params(ArchitectureParams):
    """ResNet-18 with a 3×3 stem of stride 1 and no pooling after it, for images of about 32×32."""

    paper: ClassVar[str] = "He et al., Deep Residual Learning for Image Recognition, 2016"

    name: Literal["resnet18"] = "resnet18"
    input_shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]
    """(C, H, W); H and W at least 8."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    width: Annotated[int, Field(ge=1, le=512)] = 64
    """Channels of the first stage; the published network has 64."""

    @property
    def weight_count(self) -> int:
        """Stem, four stages of two blocks, the linear layer; two numbers a channel for each normalisation."""
        w = self.width
        count = 9 * self.input_shape[0] * w + 2 * w
        for a, b in ((w, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w)):
            shortcut = 0 if a == b else a * b + 2 * b
            count += 9 * a * b + 3 * 9 * b * b + 4 * 2 * b + shortcut
        return count + (8 * w + 1) * self.classes
