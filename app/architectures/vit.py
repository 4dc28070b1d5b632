"""Parameters of `vit`: the vision transformer."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import ArchitectureParams


class VitParams(ArchitectureParams):
    """A transformer over square patches of an image and a class token, normalised before each half of a block."""

    paper: ClassVar[str] = "Dosovitskiy et al., An Image is Worth 16×16 Words, 2021"

    name: Literal["vit"] = "vit"
    input_shape: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
    """(C, H, W); H and W multiples of `patch`."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    patch: Annotated[int, Field(ge=1, le=1024)] = 4
    """Side of a patch; the published networks have 14, 16 or 32 for images of 224×224 and more."""
    depth: Annotated[int, Field(ge=1, le=64)] = 6
    """Blocks."""
    width: Annotated[int, Field(ge=1, le=8192)] = 192
    """Numbers that describe a patch, in every block; a multiple of `heads`."""
    heads: Annotated[int, Field(ge=1, le=256)] = 3
    """Attention heads of a block."""
    mlp_ratio: Annotated[int, Field(ge=1, le=16)] = 4
    """Hidden width of a block's perceptron, in units of `width`."""

    @model_validator(mode="after")
    def _divides(self) -> Self:
        _, height, width = self.input_shape
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if height % self.patch or width % self.patch:
            raise ValueError(f"an image of {height}×{width} does not divide into patches of {self.patch}×{self.patch}")
        return self

    @property
    def weight_count(self) -> int:
        """Patch embedding, class token and positions; two normalisations and four linear maps a block; the head."""
        channels, height, width = self.input_shape
        tokens, w, hidden = height * width // self.patch**2 + 1, self.width, self.mlp_ratio * self.width
        embedding = (channels * self.patch**2 + 1) * w + w + tokens * w
        block = 2 * 2 * w + (w + 1) * 3 * w + (w + 1) * w + (w + 1) * hidden + (hidden + 1) * w
        return embedding + self.depth * block + 2 * w + (w + 1) * self.classes
