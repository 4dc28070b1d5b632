"""Parameters of `retrain`: the exact, expensive way."""

from typing import ClassVar, Literal

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need


class RetrainParams(MethodParams):
    """Train again from scratch by the registered recipe, without what is to be forgotten."""

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind)
    paper: ClassVar[str] = "Cao & Yang, Towards Making Systems Forget with Machine Unlearning, 2015"
    guarantee: ClassVar[str] = "exact: the new weights never saw D_f"

    name: Literal["retrain"] = "retrain"

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_r and the recipe; D_f,clean too where only a feature of the samples is forgotten."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        return frozenset({Need.RETAIN, Need.RECIPE} | clean)
