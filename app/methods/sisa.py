"""Parameters of `sisa`: exact unlearning of a network in shards."""

from typing import ClassVar, Literal

from app.core.params import Deployed, Kind, MethodParams, Need

ISOLATING = frozenset({"sisa", "retrain", "truncation"})
"""Methods after which no member has seen another's samples if none had before."""


class SisaParams(MethodParams):
    """Train again from scratch only the members whose shard holds a sample of D_f; the others stay bit for bit.

    For models of architecture `sisa`, trained shard by shard.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = "Bourtoule et al., Machine Unlearning, 2021"
    guarantee: ClassVar[str] = (
        "exact: no member has seen D_f. It holds if the registered weights were trained shard by shard, by the"
        " architecture's rule of which sample is whose"
    )

    name: Literal["sisa"] = "sisa"

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, to know the members; D_r and the recipe."""
        return frozenset({Need.FORGET, Need.RETAIN, Need.RECIPE})

    def misfit(self, deployed: Deployed) -> str | None:
        """Members that saw one another's samples can no longer forget alone."""
        if deployed.architecture.isolated == 1:
            return "the model is one network, not shards of architecture sisa"
        if mixing := sorted(deployed.methods - ISOLATING):
            return f"the version comes from {', '.join(mixing)}, which trained the members together"
        return None
