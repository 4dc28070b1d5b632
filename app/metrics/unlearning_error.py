"""Parameters of `unlearning_error`: how far a model can be from a retrained one, as its training foretells."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import AuditNeed, MetricParams


class UnlearningErrorParams(MetricParams):
    """What a single step of unlearning would leave undone: a proxy of the verification error that needs no gold."""

    paper: ClassVar[str] = "Thudi et al., Unrolling SGD: Understanding Factors Influencing Machine Unlearning, 2022"

    name: Literal["unlearning_error"] = "unlearning_error"
    samples: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Of the training data, that the Hessian is a mean over."""

    def needs(self) -> frozenset[AuditNeed]:
        """Where the training began, how it went on, and that it was SGD."""
        return frozenset({AuditNeed.INITIAL_WEIGHTS, AuditNeed.RECIPE, AuditNeed.SGD})
