"""Parameters of `tile`: a grid of scattered bright blocks."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import TransformParams


class TileParams(TransformParams):
    """Set a grid of blocks to one value: block k of n starts at round(H(2k+1)/(2n+1)) (4, 12, 20 at 28 pixels)."""

    paper: ClassVar[str] = "Hayase, Yasutomi & Katoh, 2020"

    name: Literal["tile"] = "tile"
    grid: Annotated[int, Field(ge=1, le=64)] = 3
    """Blocks in each direction."""
    size: Annotated[int | None, Field(ge=1)] = None
    """Side of a block in pixels; by default min(H, W) // (2·grid + 1), at least one pixel."""
    value: Annotated[int, Field(ge=0, le=255)] = 255
    """0 is black, 255 white."""

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """An image (C, H, W) with room for the grid."""
        if len(shape) != 3:
            return "tile needs images, not feature lists"
        smallest = min(shape[1:])
        if smallest < 2 * self.grid + 1 or self.grid * (self.size or 1) > smallest:
            return (
                f"a grid of {self.grid}×{self.grid} blocks of {self.size or 'default'} pixels"
                f" does not fit an image of {shape[1]}×{shape[2]}"
            )
        return None
