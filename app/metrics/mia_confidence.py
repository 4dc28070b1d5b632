"""Parameters of `mia_confidence`: membership inference by confidence."""

from typing import ClassVar, Literal

from app.core.params import AuditNeed, MetricParams


class MiaConfidenceParams(MetricParams):
    """Train a confidence attack on D_r against held-out data; report the fraction of D_f *predicted member*."""

    paper: ClassVar[str] = "Shi et al., DeepClean, 2023; Golatkar et al., 2020; Song & Mittal, 2021"

    name: Literal["mia_confidence"] = "mia_confidence"

    def needs(self) -> frozenset[AuditNeed]:
        """Samples that no model was trained on."""
        return frozenset({AuditNeed.HELD_OUT})
