"""Parameters of `mlp`: the deep perceptron of Hayase et al."""

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

    def misfit(self, shape: tuple[int, ...], classes: int) -> str | None:
        """Inputs and classes as declared."""
        if shape != self.input_shape:
            return f"the data has inputs of shape {shape} ({prod(shape)} numbers), the network takes {self.input_shape}"
        return None if classes <= self.classes else f"the data has {classes} classes, the network {self.classes}"
