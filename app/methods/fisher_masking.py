"""Parameters of `fisher_masking`: zero what matters to D_f for good, fine-tune the rest."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class FisherMaskingParams(MethodParams):
    """Set the weights most relevant to D_f to zero for good; fine-tune the others on D_r."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = "Liu, Sun, Wu & Zhou, Unlearning with Fisher Masking, 2023"
    space: ClassVar[Space] = {
        "fraction": FloatRange(low=0.005, high=0.5, log=True),
        "epochs": IntRange(low=1, high=5),
        "learning_rate": FloatRange(low=1e-3, high=0.2, log=True),
    }

    name: Literal["fisher_masking"] = "fisher_masking"
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of all weights to set to zero."""
    relevance: Literal["ratio", "forget"] = "ratio"
    """What makes a weight relevant: F_Df / F_Dr, or F_Df alone, whatever D_r needs."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Epochs of fine-tuning on D_r."""
    learning_rate: Annotated[float | None, Field(gt=0, le=10)] = None
    """By default the peak learning rate of the registered recipe."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, D_r and the recipe; the stored Fisher where D_r has a say in what is relevant."""
        fisher = {Need.FISHER} if self.relevance == "ratio" else set()
        return frozenset({Need.FORGET, Need.RETAIN, Need.RECIPE} | fisher)
