"""Parameters of `salun`: random labels on D_f, learned only by the weights that are salient for it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class SalunParams(MethodParams):
    """Saliency unlearning: random labels on D_f and true ones on D_r, learned by the most salient weights alone."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Fan et al., SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency"
        " in Both Image Classification and Generation, 2024"
    )
    space: ClassVar[Space] = {
        "fraction": FloatRange(low=0.1, high=0.9),
        "retain_strength": FloatRange(low=1.0, high=100.0, log=True),
        "epochs": IntRange(low=1, high=5),
    }

    name: Literal["salun"] = "salun"
    variant: Literal["hard", "soft"] = "hard"
    """`hard`: a mask, fixed beforehand; `soft`: no mask, but every weight must be worth its move."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """`hard`: share of all weights that may move, those with the largest |∇L(D_f)|."""
    sparsity: Annotated[float, Field(title="β", ge=0)] = 1e-2
    """`soft`: price of moving a weight, per unit of distance."""
    retain_strength: Annotated[float, Field(title="α", gt=0)] = 10.0
    """Weight of the loss on D_r beside that on D_f."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over the larger of D_f and D_r; the smaller is repeated beside it."""
    learning_rate: Annotated[float | None, Field(gt=0, le=10)] = None
    """By default a tenth of the peak learning rate of the registered recipe."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, D_r and the recipe."""
        return frozenset({Need.FORGET, Need.RETAIN, Need.RECIPE})
