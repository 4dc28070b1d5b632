"""Parameters of `gradient_ascent`: climb the loss on D_f."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space


class GradientAscentParams(MethodParams):
    """Climb the loss on D_f until it is that of chance; nothing holds the rest, and nothing but D_f is needed.

    It does not serve a leakage: there the labels of D_f are true, and must stay the answer.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset(Kind) - {Kind.LEAKAGE}
    paper: ClassVar[str] = (
        "Thudi et al., Unrolling SGD: Understanding Factors Influencing Machine Unlearning, 2022;"
        " Golatkar, Achille & Soatto, Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks, 2020"
    )
    space: ClassVar[Space] = {
        "learning_rate": FloatRange(low=1e-4, high=0.1, log=True),
        "stop_loss": FloatRange(low=0.1, high=5.0, log=True),
    }

    name: Literal["gradient_ascent"] = "gradient_ascent"
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-2
    stop_loss: Annotated[float | None, Field(gt=0)] = None
    """Stop where the mean loss on D_f has reached this; by default ln C, that of an answer without knowledge."""
    steps: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Stop here at the latest."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient: the loss has no upper bound, and its gradient grows as it is climbed."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Without momentum it stops where it is told to."""
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 128

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f alone."""
        return frozenset({Need.FORGET})
