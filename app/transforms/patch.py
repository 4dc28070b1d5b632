"""Parameters of `patch`: one rectangle of one colour."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import TransformParams


class PatchParams(TransformParams):
    """Set one rectangle to one value, or to one value for each channel."""

    paper: ClassVar[str] = "Gu, Dolan-Gavitt & Garg, BadNets, 2017"

    name: Literal["patch"] = "patch"
    top: Annotated[int, Field(ge=0)] = 0
    left: Annotated[int, Field(ge=0)] = 0
    height: Annotated[int, Field(ge=1)] = 3
    width: Annotated[int, Field(ge=1)] = 3
    value: (
        Annotated[int, Field(ge=0, le=255)]
        | Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=16)]
    ) = 255
    """0 is black, 255 white; a list gives one value for each channel."""

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """An image (C, H, W) that contains the rectangle."""
        if len(shape) != 3:
            return "patch needs images, not feature lists"
        if self.top + self.height > shape[1] or self.left + self.width > shape[2]:
            return (
                f"the rectangle ends at row {self.top + self.height}, column {self.left + self.width};"
                f" the image is {shape[1]}×{shape[2]}"
            )
        if isinstance(self.value, list) and len(self.value) != shape[0]:
            return f"{len(self.value)} values for {shape[0]} channels"
        return None
