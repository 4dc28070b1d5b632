"""Parameters of `potion`: dampen more and more weights until a trigger fails."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space


class PotionParams(MethodParams):
    """Selective synaptic dampening with a search: as few weights as suffice to make the trigger fail."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.BACKDOOR})
    paper: ClassVar[str] = "Schoepf, Foster & Brintrup, Potion: Towards Poison Unlearning, 2024"
    random: ClassVar[bool] = False
    space: ClassVar[Space] = {
        "success": FloatRange(low=0.05, high=0.5),
        "dampening": FloatRange(low=0.01, high=2.0, log=True),
    }

    name: Literal["potion"] = "potion"
    success: Annotated[float, Field(title="ρ", gt=0, lt=1)] = 0.2
    """The trigger has failed when the accuracy on D_f is below this."""
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """Share of all weights to begin with, those with the largest I_f / I_D."""
    growth: Annotated[float, Field(gt=1, le=10)] = 1.3
    """By how much the share grows from one attempt to the next."""
    largest_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Where to give up."""
    dampening: Annotated[float, Field(title="λ", gt=0)] = 1.0
    """The smaller, the harder the selected weights shrink."""

    @model_validator(mode="after")
    def _upwards(self) -> Self:
        if self.fraction > self.largest_fraction:
            raise ValueError("fraction must not exceed largest_fraction")
        return self

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - one kind only
        """D_f, which carries the trigger, and the stored Fisher."""
        return frozenset({Need.FORGET, Need.FISHER})
