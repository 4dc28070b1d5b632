"""Parameters of `lira`: the likelihood-ratio attack, offline."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import MetricParams


class LiraParams(MetricParams):
    """How unlikely the confidence in D_f is under models that never saw it: AUC, TPR at 1 % and 0.1 % FPR."""

    paper: ClassVar[str] = "Carlini et al., Membership Inference Attacks From First Principles, 2022"

    name: Literal["lira"] = "lira"
    references: Literal["gold", "half_data"] = "gold"
    """The audit's gold models, or models that are trained by the recipe on half of D_r."""
    models: Annotated[int, Field(ge=1, le=64)] = 4
    """For `half_data`: how many are trained."""
