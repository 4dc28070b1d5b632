"""Parameters of `fisher_forgetting`: noise where D_r does not mind."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space


class FisherForgettingParams(MethodParams):
    """Add noise to every weight, the more the less D_r needs it; no training, no D_r."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Golatkar, Achille & Soatto, Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks, 2020"
    )
    space: ClassVar[Space] = {
        "noise": FloatRange(low=1e-11, high=1e-5, log=True),
        "largest_deviation": FloatRange(low=0.01, high=1.0, log=True),
    }

    name: Literal["fisher_forgetting"] = "fisher_forgetting"
    noise: Annotated[float, Field(title="λσ_h²", gt=0)] = 1e-8
    """How strongly to scrub: the larger, the less is left of D_f, and the worse the network."""
    largest_deviation: Annotated[float, Field(gt=0)] = 0.1
    """Standard deviation of the noise on a weight that D_r does not need at all."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and the stored Fisher."""
        return frozenset({Need.FORGET, Need.FISHER})
