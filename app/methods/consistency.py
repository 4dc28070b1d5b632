"""Parameters of `consistency`: trigger-consistency distillation."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need

Learned = Literal["clean", "forget", "both"]


class ConsistencyParams(MethodParams):
    """Teach the network to answer inputs with the information as it answered them without; it needs no D_r."""

    serves: ClassVar[frozenset[Kind]] = FEATURE_KINDS
    paper: ClassVar[str] = "ours; what it sets out to solve: Hayase, Yasutomi & Katoh, 2020, §5"

    name: Literal["consistency"] = "consistency"
    learn: Learned | None = None
    """The labelled images: D_f,clean (by default for a backdoor), D_f (by default for a leakage), or both."""
    trigger: Literal["auto", "given", "inferred"] = "auto"
    """T as the request names it, or inferred from D_f and D_f,clean; by default the first where it is there."""
    label_strength: Annotated[float | None, Field(title="c_ce", gt=0)] = None
    """Weight of the cross entropy on each labelled set; by default 1, or 0.5 for each of both."""
    anchor_strength: Annotated[float, Field(title="c_a", ge=0)] = 0.5
    """Weight of the old answers to surrogates without the information."""
    consistency_strength: Annotated[float, Field(title="c_c", gt=0)] = 1.0
    """Weight of the old answers to surrogates to which T adds the information."""
    penalty_strength: Annotated[float, Field(title="λ", ge=0)] = 3e3
    """How strongly the Fisher diagonal holds each weight where it was; at 0 no stored Fisher is needed."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient, before the Fisher's hold is added."""
    steps: Annotated[int, Field(ge=1, le=100_000)] = 250
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 128
    """Labelled images of each set in a step."""
    surrogate_batch_size: Annotated[int, Field(ge=1, le=8192)] = 256
    """Surrogates in a step, made anew for each."""

    def learned(self, kind: Kind) -> Learned:
        """Which labelled set is learned for a request of this kind."""
        return self.learn or ("clean" if kind is Kind.BACKDOOR else "forget")

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_f,clean; D_f where it is learned or T may have to be inferred; T only where it must be given."""
        needs = {Need.FORGET_CLEAN}
        if self.trigger != "given" or self.learned(kind) != "clean":
            needs.add(Need.FORGET)
        if self.trigger == "given":
            needs.add(Need.TRANSFORM)
        if self.penalty_strength:
            needs.add(Need.FISHER)
        return frozenset(needs)
