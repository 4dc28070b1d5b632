"""Parameters of `finetune`: go on training on what is kept."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class FinetuneParams(MethodParams):
    """Go on training on what is kept; D_f is forgotten only as far as training on other data forgets."""

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str] = (
        "Golatkar, Achille & Soatto, Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks, 2020"
    )
    space: ClassVar[Space] = {
        "rate_factor": FloatRange(low=0.1, high=6.0, log=True),
        "epochs": IntRange(low=1, high=5),
    }

    name: Literal["finetune"] = "finetune"
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 1.5
    """The first learning rate, in peak rates of the registered recipe; it falls to 0 by a cosine."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 3
    """Passes over D_r."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_r and the recipe, and never D_f; D_f,clean too where only a feature of the samples is forgotten."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        return frozenset({Need.RETAIN, Need.RECIPE} | clean)
