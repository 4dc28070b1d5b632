"""Parameters of `ssd`: selective synaptic dampening."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space


class SsdParams(MethodParams):
    """Shrink the weights that matter much more to D_f than to all of D; no training, no D_r."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Foster, Schoepf & Brintrup, Fast Machine Unlearning without Retraining"
        " through Selective Synaptic Dampening, 2024"
    )
    random: ClassVar[bool] = False
    space: ClassVar[Space] = {
        "fraction": FloatRange(low=0.005, high=0.3, log=True),
        "dampening": FloatRange(low=0.05, high=2.0, log=True),
    }

    name: Literal["ssd"] = "ssd"
    fraction: Annotated[float | None, Field(gt=0, lt=1)] = None
    """Share of all weights to select, those with the largest I_f / I_D; 0.1 unless `selection` is given."""
    selection: Annotated[float | None, Field(title="α", gt=0)] = None
    """Select where I_f > α·I_D instead. It does not transfer between requests, and must stay below .8·|D|/|D_f|."""
    dampening: Annotated[float, Field(title="λ", gt=0)] = 0.18
    """The smaller, the harder the selected weights shrink; published is 1."""

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.fraction is not None and self.selection is not None:
            raise ValueError("give fraction or selection, not both")
        return self

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and the stored Fisher."""
        return frozenset({Need.FORGET, Need.FISHER})
