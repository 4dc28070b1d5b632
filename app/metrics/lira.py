"""Parameters of `lira`: the likelihood-ratio attack, offline and online."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import AuditNeed, MetricParams


class LiraParams(MetricParams):
    """How unlikely the confidence in D_f is under models that never saw it: AUC, TPR at 1 % and 0.1 % FPR."""

    paper: ClassVar[str] = "Carlini et al., Membership Inference Attacks From First Principles, 2022"

    name: Literal["lira"] = "lira"
    references: Literal["gold", "half_data", "shadows"] = "gold"
    """The audit's gold models, models trained by the recipe on halves of D_r (both offline), or shadow models (online).

    Shadow models are trained in complementary pairs on random halves of D_f, D_r and held-out data together, so that
    half of them saw a sample and half did not.
    """
    models: Annotated[int, Field(ge=1, le=64)] = 4
    """How many are trained; of `shadows` an even number, 4 at least."""

    @model_validator(mode="after")
    def _in_pairs(self) -> Self:
        if self.references == "shadows" and (self.models % 2 or self.models < 4):
            raise ValueError("shadow models come in pairs: give an even number, 4 at least")
        return self

    def needs(self) -> frozenset[AuditNeed]:
        """Non-members, and reference models or what trains them."""
        return frozenset({AuditNeed.HELD_OUT, AuditNeed.GOLD if self.references == "gold" else AuditNeed.RECIPE})
