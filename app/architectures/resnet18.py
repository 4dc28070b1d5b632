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

    def misfit(self, shape: tuple[int, ...], classes: int) -> str | None:
        """Inputs and classes as declared."""
        if shape != self.input_shape:
            return f"the data has inputs of shape {shape}, the network takes {self.input_shape}"
        return None if classes <= self.classes else f"the data has {classes} classes, the network {self.classes}"
