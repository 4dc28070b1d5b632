"""Parameters of `mia_reference`: membership inference by the loss beyond that of models that never saw D_f."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import AuditNeed, MetricParams


class MiaReferenceParams(MetricParams):
    """Tell D_f from held-out samples by how much smaller their loss is than under models that never saw them."""

    paper: ClassVar[str] = "Watson et al., On the Importance of Difficulty Calibration in Membership Inference, 2022"

    name: Literal["mia_reference"] = "mia_reference"
    references: Literal["gold", "half_data"] = "gold"
    """The audit's gold models, or models that this metric trains by the recipe on half of D_r."""
    models: Annotated[int, Field(ge=1, le=16)] = 1
    """For `half_data`: how many are trained."""

    def needs(self) -> frozenset[AuditNeed]:
        """Non-members, and reference models or what trains them."""
        return frozenset({AuditNeed.HELD_OUT, AuditNeed.GOLD if self.references == "gold" else AuditNeed.RECIPE})
