"""Parameters of `linear_probe`: does a linear classifier on hidden features still know a forgotten class?"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import AuditNeed, Kind, MetricParams


class LinearProbeParams(MetricParams):
    """Train a linear classifier on the frozen features; report how many held-out samples of the class it recognises."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.CLASS})
    paper: ClassVar[str] = "Alain & Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2017"

    name: Literal["linear_probe"] = "linear_probe"
    per_class: Annotated[int, Field(ge=2, le=10_000)] = 100
    """Training samples of each class, at most."""

    def needs(self) -> frozenset[AuditNeed]:
        """Samples that no model was trained on."""
        return frozenset({AuditNeed.HELD_OUT})
