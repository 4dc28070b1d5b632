"""Parameters of `negmerge`: subtract what several fine-tunings on D_f agree about."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, Space

Factor = Annotated[float, Field(gt=0, le=100)]
Passes = Annotated[int, Field(ge=1, le=1000)]


class NegmergeParams(MethodParams):
    """Learn D_f by heart several times, differently; move the opposite way where all these moves have the same sign."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = "Kim, Han & Choe, NegMerge: Sign-Consensual Weight Merging for Machine Unlearning, 2025"
    space: ClassVar[Space] = {"strength": FloatRange(low=0.05, high=20.0, log=True)}

    name: Literal["negmerge"] = "negmerge"
    strength: Annotated[float, Field(title="λ", gt=0)] = 2.0
    """How far to move, in units of the merged move."""
    rate_factors: Annotated[tuple[Factor, ...], Field(min_length=1, max_length=8)] = (0.1, 0.3, 1.0)
    """Learning rates of the fine-tunings, in peak rates of the registered recipe, each with every number of epochs."""
    epochs: Annotated[tuple[Passes, ...], Field(min_length=1, max_length=8)] = (2, 5)
    """Passes over D_f, likewise."""

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and the recipe."""
        return frozenset({Need.FORGET, Need.RECIPE})
