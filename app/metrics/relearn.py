"""Parameters of `relearn`: how fast what was forgotten is learned again."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MetricParams


class RelearnParams(MetricParams):
    """Steps of training on D_f and as much of D_r until D_f is answered again, beside a model that never saw it."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.CLASS})
    paper: ClassVar[str] = "Tarun et al., Fast Yet Effective Machine Unlearning, 2023 (anamnesis index)"

    name: Literal["relearn"] = "relearn"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Small, so that the steps can be told apart."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 64
    most_steps: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Who needs more counts as not relearned."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Relearned: this share of the accuracy on D_f before the job."""
    orders: Annotated[int, Field(ge=1, le=10)] = 2
    """How often it is repeated, with another order of the samples."""
