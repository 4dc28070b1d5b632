"""Parameters of `neggrad_plus`: climb the loss on D_f while descending that on D_r."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class NeggradPlusParams(MethodParams):
    """Climb the loss on D_f and descend that on D_r in the same steps (NegGrad+).

    It does not serve a leakage: there the labels of D_f are true, and must stay the answer.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind) - {Kind.LEAKAGE}
    paper: ClassVar[str] = "Kurmanji et al., Towards Unbounded Machine Unlearning, 2023"
    space: ClassVar[Space] = {
        "retain_strength": FloatRange(low=0.5, high=0.999),
        "rate_factor": FloatRange(low=0.03, high=3.0, log=True),
        "epochs": IntRange(low=1, high=3),
    }

    name: Literal["neggrad_plus"] = "neggrad_plus"
    retain_strength: Annotated[float | None, Field(title="α", gt=0, lt=1)] = None
    """Weight of the loss on D_r, that of D_f being 1 − α; by default 0.8 for samples and subjects, else 0.99."""
    rate_factor: Annotated[float | None, Field(gt=0, le=100)] = None
    """The first learning rate, in peak rates of the recipe; by default 1 for samples and subjects, else 0.3."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Passes over D_r; D_f, which is smaller, begins again until D_r is through."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient: the loss on D_f has no upper bound, and its gradient grows as it is climbed."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_f, D_r and the recipe; D_f,clean too where only a feature of the samples is forgotten."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        return frozenset({Need.FORGET, Need.RETAIN, Need.RECIPE} | clean)
