"""Parameters of `rnd`: random network distillation under elastic weight consolidation."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space


class RndParams(MethodParams):
    """Pull the outputs on D_f towards those of a random network; the stored Fisher holds the rest in place."""

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str] = (
        "Hayase, Yasutomi & Katoh, Selective Forgetting of Deep Networks at a Finer Level than Samples, 2020"
    )
    space: ClassVar[Space] = {
        "learning_rate": FloatRange(low=1e-6, high=1e-2, log=True),
        "penalty_strength": FloatRange(low=1e2, high=1e6, log=True),
        "forget_strength": FloatRange(low=0.05, high=5.0, log=True),
    }

    name: Literal["rnd"] = "rnd"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-5
    penalty_strength: Annotated[float, Field(title="λ_KL", ge=0)] = 1e5
    """How strongly the Fisher diagonal holds each weight where it was; at 0 nothing does, and none need be stored."""
    forget_strength: Annotated[float, Field(title="λ_f", gt=0)] = 1.0
    """Weight of the forgetting loss."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    epochs: Annotated[int, Field(ge=1, le=1000)] = 10
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 128
    penalty: Literal["implicit", "explicit"] = "implicit"
    """Implicit steps are stable for every λ_KL; explicit ones only while 2·lr·λ·max F < 2(1+momentum)."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_f, and the stored Fisher unless λ_KL is 0; D_f,clean too for patterns B and C."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        hold = {Need.FISHER} if self.penalty_strength else set()
        return frozenset({Need.FORGET} | clean | hold)
