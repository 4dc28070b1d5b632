"""Parameters of `random_label`: teach D_f labels that are not its own."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import FEATURE_KINDS, Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class RandomLabelParams(MethodParams):
    """Give every sample of D_f a random label, once, and go on training on that and D_r.

    It does not serve a leakage: there the labels of D_f are true, and must stay the answer.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind) - {Kind.LEAKAGE}
    paper: ClassVar[str] = (
        "Golatkar, Achille & Soatto, Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks, 2020;"
        " Graves, Nagisetty & Ganesh, Amnesiac Machine Learning, 2021 (unlearning by relabelling)"
    )
    space: ClassVar[Space] = {
        "rate_factor": FloatRange(low=0.03, high=3.0, log=True),
        "epochs": IntRange(low=1, high=5),
    }

    name: Literal["random_label"] = "random_label"
    use_retain: bool = True
    """Train on D_r beside D_f. Without it D_f and the recipe are enough, and nothing holds the rest."""
    include_true_label: bool = False
    """May the random label be the true one?"""
    rate_factor: Annotated[float, Field(gt=0, le=100)] = 0.3
    """The first learning rate, in peak rates of the registered recipe; it falls to 0 by a cosine."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Passes over all that is trained on."""

    def needs(self, kind: Kind) -> frozenset[Need]:
        """D_f and the recipe; with `use_retain` D_r, and D_f,clean where only a feature of the samples is forgotten."""
        clean = {Need.FORGET_CLEAN} if kind in FEATURE_KINDS else set()
        retain = {Need.RETAIN} | clean if self.use_retain else set()
        return frozenset({Need.FORGET, Need.RECIPE} | retain)
