"""Parameters of `mlp`: the deep perceptron of Hayase et al."""

from itertools import pairwise
from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import ArchitectureParams


class MlpParams(ArchitectureParams):
    """`layers` linear layers with a continuous hard tanh between; orthogonal weights, zero biases, no normalisation."""

    paper: ClassVar[str] = "Hayase, Yasutomi & Katoh, 2020"

    name: Literal["mlp"] = "mlp"
    input_shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=3)]
    """(C, H, W) of an image, or (D,) of a feature list."""
    classes: Annotated[int, Field(ge=2, le=100_000)]
    layers: Annotated[int, Field(ge=1, le=64)] = 10
    """Linear layers, the last one included."""
    width: Annotated[int | None, Field(ge=1, le=65_536)] = None
    """Hidden width; by default that of the input."""

    @property
    def weight_count(self) -> int:
        """Weights and biases of all linear layers."""
        inputs = prod(self.input_shape)
        widths = [inputs, *[self.width or inputs] * (self.layers - 1), self.classes]
        return sum((a + 1) * b for a, b in pairwise(widths))
