"""Parameters of `rmia`: the relative membership inference attack, offline."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import MetricParams


class RmiaParams(MetricParams):
    """How often a forgotten sample gains more confidence over reference models than population samples do."""

    paper: ClassVar[str] = "Zarifzadeh, Liu & Shokri, Low-Cost High-Power Membership Inference Attacks, 2024"

    name: Literal["rmia"] = "rmia"
    references: Literal["gold", "half_data"] = "gold"
    """The audit's gold models, or models that are trained by the recipe on half of D_r."""
    models: Annotated[int, Field(ge=1, le=64)] = 2
    """For `half_data`: how many are trained."""
    gamma: Annotated[float, Field(title="γ", gt=0)] = 1.0
    """By which factor a population sample must be beaten."""
    scale: Annotated[float, Field(title="a", ge=0, le=1)] = 0.3
    """How models that saw a sample are guessed from those that did not; the paper's value for CIFAR-10."""
