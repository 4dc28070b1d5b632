"""Parameters of `weight_distance`: the verification error."""

from typing import ClassVar, Literal

from app.core.params import AuditNeed, MetricParams


class WeightDistanceParams(MetricParams):
    """Verification error: the distance of the weights to those of retrained models, beside the golds' own distances."""

    paper: ClassVar[str] = "Thudi et al., Unrolling SGD: Understanding Factors Influencing Machine Unlearning, 2022"

    name: Literal["weight_distance"] = "weight_distance"

    def needs(self) -> frozenset[AuditNeed]:
        """Models to compare with."""
        return frozenset({AuditNeed.GOLD})
