"""Parameters of `sparse`: fine-tuning that shrinks the weights (l1-sparse unlearning, Sparse MU)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class SparseParams(MethodParams):
    """Go on training on what is kept while all weights are drawn to zero, less and less."""

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str] = "Jia et al., Model Sparsity Can Simplify Machine Unlearning, 2023"
    space: ClassVar[Space] = {
        "sparsity": FloatRange(low=1e-5, high=1e-2, log=True),
        "rate_factor": FloatRange(low=0.1, high=6.0, log=True),
        "epochs": IntRange(low=1, high=5),
    }

    name: Literal["sparse"] = "sparse"
    sparsity: Annotated[float, Field(title="α", gt=0, le=1)] = 5e-4
    """Weight of ‖θ‖₁ in the first step; it falls linearly to 0."""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 1.5
    """The first learning rate, in peak rates of the registered recipe; it falls to 0 by a cosine."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over D_r."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_r and the recipe, and never D_f; D_f,clean too where only a feature of the samples is forgotten."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        return frozenset({Need.RETAIN, Need.RECIPE} | clean)
