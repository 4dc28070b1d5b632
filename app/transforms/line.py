"""Parameters of `line`: a short bright line at the left edge."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import TransformParams


class LineParams(TransformParams):
    """Set an area in the middle of the left side to one value (4×1 pixels at 28×28)."""

    paper: ClassVar[str] = "Hayase, Yasutomi & Katoh, 2020"

    name: Literal["line"] = "line"
    height: Annotated[int | None, Field(ge=1)] = None
    """Pixels; by default a seventh of the image's height."""
    width: Annotated[int, Field(ge=1)] = 1
    """Pixels."""
    value: Annotated[int, Field(ge=0, le=255)] = 255
    """0 is black, 255 white."""

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """An image (C, H, W) of at least the line's size."""
        if len(shape) != 3:
            return "line needs images, not feature lists"
        if (self.height or 1) > shape[1] or self.width > shape[2]:
            size = f"{self.height or 'default'}×{self.width}"
            return f"a line of {size} pixels does not fit an image of {shape[1]}×{shape[2]}"
        return None
