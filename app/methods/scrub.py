"""Parameters of `scrub`: leave the teacher on D_f, follow it on D_r, in turns."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class ScrubParams(MethodParams):
    """A student leaves its teacher, the deployed network, on D_f, and follows it and the labels on D_r, in turns.

    With `rewind` (SCRUB+R) it goes back to where its error on D_f is that on held-out samples of the same classes.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = "Kurmanji et al., Towards Unbounded Machine Unlearning, 2023 (SCRUB, SCRUB+R)"
    space: ClassVar[Space] = {
        "rate_factor": FloatRange(low=0.01, high=2.0, log=True),
        "max_epochs": IntRange(low=1, high=3),
        "epochs": IntRange(low=4, high=10),
        "distillation_strength": FloatRange(low=1e-3, high=1.0, log=True),
    }

    name: Literal["scrub"] = "scrub"
    rewind: bool = False
    """Go back, at the end, to the epoch whose error on D_f is nearest to the final error on held-out samples; for that
    the data set needs a split `validation`."""
    epochs: Annotated[int, Field(ge=2, le=100)] = 6
    """Passes over D_r. With `rewind` the weights after each stay in memory until the end."""
    max_epochs: Annotated[int, Field(ge=1, le=99)] = 3
    """How many of them, from the second on, begin with a pass over D_f."""
    distillation_strength: Annotated[float, Field(title="α", ge=0)] = 0.001
    """Weight of following the teacher on D_r."""
    label_strength: Annotated[float, Field(title="γ", ge=0)] = 0.99
    """Weight of the cross entropy on D_r."""
    temperature: Annotated[float, Field(title="τ", gt=0, le=100)] = 4.0
    """Softens both networks' answers where they are compared."""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 0.3
    """The first learning rate, in peak rates of the registered recipe; it falls from epoch to epoch, by a cosine."""
    forget_batch_size: Annotated[int | None, Field(ge=1, le=8192)] = None
    """By default a tenth of D_f, 32 at least and 8,192 at most: what a pass does should not grow with D_f."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient on D_f: the distance from the teacher has no upper bound."""

    @model_validator(mode="after")
    def _ends_by_repair(self) -> Self:
        if self.max_epochs >= self.epochs:
            raise ValueError(
                "max_epochs must be below epochs: the first epoch cannot leave the teacher, being where it is"
            )
        return self

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, D_r and the recipe; held-out samples to rewind by."""
        held_out = {Need.HELD_OUT} if self.rewind else set()
        return frozenset({Need.FORGET, Need.RETAIN, Need.RECIPE} | held_out)
