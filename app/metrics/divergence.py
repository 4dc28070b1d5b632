"""Parameters of `divergence`: how far answers on D_f are from those of retrained models."""

from typing import ClassVar, Literal

from app.core.params import AuditNeed, MetricParams


class DivergenceParams(MetricParams):
    """Activation distance and Jensen-Shannon divergence between the model's answers on D_f and gold's."""

    paper: ClassVar[str] = "Golatkar et al., 2021 (activation distance); Chundawat et al., 2023 (Jensen-Shannon)"

    name: Literal["divergence"] = "divergence"

    def needs(self) -> frozenset[AuditNeed]:
        """Models to compare with."""
        return frozenset({AuditNeed.GOLD})
