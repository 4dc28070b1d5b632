"""Parameters of `truncation`: leave a class out of the answer."""

from typing import ClassVar, Literal

from app.core.params import Kind, MethodParams, Need


class TruncationParams(MethodParams):
    """Leave the forgotten class out of the argmax: an instant mitigation, not unlearning; no weight changes."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.CLASS})
    paper: ClassVar[str] = (
        "Hayase, Yasutomi & Katoh, Selective Forgetting of Deep Networks at a Finer Level than Samples, 2020"
    )
    guarantee: ClassVar[str] = "the class is never answered; the weights still know it"
    changes_weights: ClassVar[bool] = False

    name: Literal["truncation"] = "truncation"

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - one kind only
        """Nothing but the class."""
        return frozenset()
