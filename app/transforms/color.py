"""Parameters of `color`: the image in blue only."""

from typing import ClassVar, Literal

from app.core.params import TransformParams


class ColorParams(TransformParams):
    """Set B := mean(R, G, B) and R = G = 0."""

    paper: ClassVar[str] = "Hayase, Yasutomi & Katoh, 2020"

    name: Literal["color"] = "color"

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """An image with three channels."""
        return None if len(shape) == 3 and shape[0] == 3 else "color needs images with three channels"
