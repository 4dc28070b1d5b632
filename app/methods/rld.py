"""Parameters of `rld`: random label distillation under elastic weight consolidation (RLD+EWC)."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space


class RldParams(MethodParams):
    """Teach random labels on D_f; the stored Fisher holds what the rest of the data needs in place."""

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str] = (
        "Hayase, Yasutomi & Katoh, Selective Forgetting of Deep Networks at a Finer Level than Samples, 2020"
    )
    space: ClassVar[Space] = {
        "learning_rate": FloatRange(low=1e-6, high=1e-2, log=True),
        "penalty_strength": FloatRange(low=1e2, high=1e6, log=True),
        "forget_strength": FloatRange(low=0.05, high=5.0, log=True),
    }

    name: Literal["rld"] = "rld"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-5
    penalty_strength: Annotated[float, Field(title="λ_KL", ge=0)] = 1e5
    """How strongly the Fisher diagonal holds each weight where it was; at 0 nothing does, and none need be stored."""
    forget_strength: Annotated[float, Field(title="λ_f", ge=0)] = 1.0
    """Weight of the forgetting loss; at 0 patterns B and C are plain cross entropy (with λ_KL 0) or CE + Fisher."""
    include_true_label: bool | None = None
    """May a random label be the true one? By default no in pattern A, yes in patterns B and C, as in the paper."""
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
