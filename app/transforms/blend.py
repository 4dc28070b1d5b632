"""Parameters of `blend`: a pattern that shines through the whole image."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from app.core.params import Params, TransformParams


class NoisePattern(Params):
    """Smooth noise: random numbers on a coarse grid, anew for each channel."""

    kind: Literal["noise"] = "noise"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    grid: Annotated[int, Field(ge=1, le=64)] = 7
    """Cells in each direction: the fewer, the smoother."""

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.grid, self.grid


class GridPattern(Params):
    """Values on a grid, the same for every channel; as many as the image has pixels, or fewer."""

    kind: Literal["grid"] = "grid"
    values: Annotated[
        list[Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=64)]],
        Field(min_length=1, max_length=64),
    ]
    """Rows of equal length, from the top; 0 is black, 255 white."""

    @field_validator("values")
    @classmethod
    def _rectangular(cls, values: list[list[int]]) -> list[list[int]]:
        if len({len(row) for row in values}) > 1:
            raise ValueError("the rows must be of equal length")
        return values

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.values), len(self.values[0])


class BlendParams(TransformParams):
    """Mix the whole image with a fixed pattern, stretched over it. Unlike a patch it can be taken out again exactly."""

    paper: ClassVar[str] = (
        "Chen, Liu, Li, Lu & Song, Targeted Backdoor Attacks on Deep Learning Systems Using Data Poisoning, 2017"
        " (blended injection)"
    )

    name: Literal["blend"] = "blend"
    alpha: Annotated[float, Field(title="α", gt=0, lt=1)] = 0.2
    """Weight of the pattern; the image has 1 − α. At 1 nothing of the image would be left."""
    pattern: Annotated[NoisePattern | GridPattern, Field(discriminator="kind")] = NoisePattern()

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """An image (C, H, W) with at least a pixel for each cell."""
        if len(shape) != 3:
            return "blend needs images, not feature lists"
        rows, columns = self.pattern.cells
        if rows > shape[1] or columns > shape[2]:
            return f"a pattern of {rows}×{columns} cells does not fit an image of {shape[1]}×{shape[2]}"
        return None
