"""Parameters of `neurips_2023`: the score of the NeurIPS 2023 machine unlearning challenge."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import AuditNeed, Kind, MetricParams


class Neurips2023Params(MetricParams):
    """Whether the method's models answer D_f as retrained ones do, over many of both: the challenge's ε and score.

    Costly, and never part of an audit unless it is asked for: the request's method is carried out as often as `models`
    says, and as many models are retrained. Of a method whose result depends on no seed it measures nothing.
    """

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Triantafillou et al., Are we making progress in unlearning? Findings from the first NeurIPS unlearning"
        " competition, 2024"
    )

    name: Literal["neurips_2023"] = "neurips_2023"
    models: Annotated[int, Field(title="N", ge=8, le=512)] = 16
    """How many are unlearned, and how many retrained; the challenge took 512. An ε beyond ln(N − 1) cannot be told."""

    def needs(self) -> frozenset[AuditNeed]:
        """What both kinds of models are made with, and held-out data for the accuracy that they keep."""
        return frozenset({AuditNeed.METHOD, AuditNeed.RECIPE, AuditNeed.HELD_OUT})
