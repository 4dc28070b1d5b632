"""Parameters of `tow`: the tug of war between forgetting and keeping."""

from typing import ClassVar, Literal

from app.core.params import AuditNeed, MetricParams


class TowParams(MetricParams):
    """One number for how close accuracies on D_f, D_r and held-out data are to gold's: 1 is equal."""

    paper: ClassVar[str] = "Zhao et al., What makes unlearning hard and what to do about it, 2024"

    name: Literal["tow"] = "tow"

    def needs(self) -> frozenset[AuditNeed]:
        """Models to compare with, on three sets."""
        return frozenset({AuditNeed.GOLD, AuditNeed.HELD_OUT})
