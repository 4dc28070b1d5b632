"""Parameters of `mia`: membership inference by loss."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import AuditNeed, MetricParams


class MiaParams(MetricParams):
    """Tell D_f from held-out samples of the same classes by loss: accuracy and AUC of a cross-validated attack."""

    paper: ClassVar[str] = "Kurmanji et al., Towards Unbounded Machine Unlearning, 2023; Yeom et al., 2018"

    name: Literal["mia"] = "mia"
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    """Folds of the cross-validation."""

    def needs(self) -> frozenset[AuditNeed]:
        """Samples that no model was trained on."""
        return frozenset({AuditNeed.HELD_OUT})
