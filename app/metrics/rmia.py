"""Parameters of `rmia`: the relative membership inference attack, offline and online."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import AuditNeed, MetricParams


class RmiaParams(MetricParams):
    """How often a forgotten sample gains more confidence over reference models than population samples do."""

    paper: ClassVar[str] = "Zarifzadeh, Liu & Shokri, Low-Cost High-Power Membership Inference Attacks, 2024"

    name: Literal["rmia"] = "rmia"
    references: Literal["gold", "half_data", "shadows"] = "gold"
    """The audit's gold models, models trained by the recipe on halves of D_r (both offline), or shadow models (online).

    Shadow models are trained in complementary pairs on random halves of D_f, D_r and held-out data together, so that
    half of them saw a sample and half did not.
    """
    models: Annotated[int, Field(ge=1, le=64)] = 2
    """How many are trained; of `shadows` an even number, 2 at least."""
    gamma: Annotated[float, Field(title="γ", gt=0)] = 1.0
    """By which factor a population sample must be beaten."""
    scale: Annotated[float, Field(title="a", ge=0, le=1)] = 0.3
    """How models that saw a sample are guessed from those that did not; the paper's value for CIFAR-10."""

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        if self.references == "shadows" and (self.models % 2 or self.models < 2):
            raise ValueError("shadow models come in pairs: give an even number, 2 at least")
        return self

    def needs(self) -> frozenset[AuditNeed]:
        """Non-members, and reference models or what trains them."""
        return frozenset({AuditNeed.HELD_OUT, AuditNeed.GOLD if self.references == "gold" else AuditNeed.RECIPE})
