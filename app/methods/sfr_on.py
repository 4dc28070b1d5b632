"""Parameters of `sfr_on`: forget and repair in turns, forgetting through salient weights only."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class SfrOnParams(MethodParams):
    """Ascend on D_f through the weights of the largest Fisher ratio, repair on D_r, in turns."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Huang et al., Unified Gradient-Based Machine Unlearning with Remain Geometry Enhancement, 2024"
    )
    space: ClassVar[Space] = {
        "fraction": FloatRange(low=0.05, high=0.6),
        "adaptivity": FloatRange(low=0.0, high=5.0),
        "rounds": IntRange(low=5, high=40, log=True),
        "ascent_rate": FloatRange(low=1e-4, high=0.2, log=True),
    }

    name: Literal["sfr_on"] = "sfr_on"
    fraction: Annotated[float, Field(gt=0, lt=1)] = 0.12
    """Share of all weights that may forget, those with the largest F_Df / F_Dr; all of them may repair."""
    adaptivity: Annotated[float, Field(title="λ", ge=0)] = 0.5
    """How fast a sample loses its say as its loss grows; 0: never."""
    rounds: Annotated[int, Field(ge=1, le=10_000)] = 25
    ascent_steps: Annotated[int, Field(ge=1, le=1000)] = 1
    """Steps on D_f in every round."""
    repair_steps: Annotated[int, Field(ge=1, le=1000)] = 5
    """Steps on D_r in every round."""
    ascent_rate: Annotated[float | None, Field(title="α_f", gt=0, le=10)] = None
    """Learning rate on D_f; by default the peak one of the registered recipe."""
    repair_rate: Annotated[float | None, Field(title="α_r", gt=0, le=10)] = None
    """Learning rate on D_r; likewise."""
    slow_rate: Annotated[float, Field(title="α", gt=0, le=1)] = 1.0
    """How much of a round's move is kept (fast and slow weights)."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient of the ascent, whose objective has no bound."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f, D_r, the stored Fisher, the recipe."""
        return frozenset({Need.FORGET, Need.RETAIN, Need.FISHER, Need.RECIPE})
