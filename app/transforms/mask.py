"""Parameters of `mask`: rectangles covered with a fill; it takes a leaked feature away."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Params, TransformParams


class Rectangle(Params):
    """Rows top..top+height, columns left..left+width, in pixels."""

    top: Annotated[int, Field(ge=0)]
    left: Annotated[int, Field(ge=0)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]


class MaskParams(TransformParams):
    """Cover rectangles with one value: D_f,clean of a leakage request is D_f under the mask."""

    paper: ClassVar[str] = "Hayase, Yasutomi & Katoh, 2020"

    name: Literal["mask"] = "mask"
    rectangles: Annotated[list[Rectangle], Field(min_length=1, max_length=256)]
    """What is covered."""
    fill: Annotated[int, Field(ge=0, le=255)] = 0
    """0 is black, 255 white."""

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """An image (C, H, W) that contains every rectangle, and of which something is left."""
        if len(shape) != 3:
            return "mask needs images, not feature lists"
        for number, r in enumerate(self.rectangles):
            if r.top + r.height > shape[1] or r.left + r.width > shape[2]:
                return (
                    f"rectangle {number} ends at row {r.top + r.height}, column {r.left + r.width};"
                    f" the image is {shape[1]}×{shape[2]}"
                )
        if self._covered() == shape[1] * shape[2]:
            return "the rectangles cover the whole image: under the mask nothing would be left of it"
        return None

    def _covered(self) -> int:
        """Pixels under at least one rectangle: column by column, the union of the rows."""
        columns: dict[int, set[int]] = {}
        for r in self.rectangles:
            for column in range(r.left, r.left + r.width):
                columns.setdefault(column, set()).update(range(r.top, r.top + r.height))
        return sum(map(len, columns.values()))
