"""Parameters of `bad_teacher`: on D_f learn from a network that knows nothing, on D_r from the deployed one."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.core.params import Kind, MethodParams, Need
from app.core.spaces import FloatRange, IntRange, Space


class BadTeacherParams(MethodParams):
    """Two teachers: a network with random weights for D_f, the deployed one for a part of D_r. No labels are used."""

    serves: ClassVar[frozenset[Kind]] = frozenset({Kind.SAMPLES, Kind.SUBJECTS, Kind.CLASS})
    paper: ClassVar[str] = (
        "Chundawat, Tarun, Mandal & Kankanhalli, Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks using"
        " an Incompetent Teacher, 2023"
    )
    space: ClassVar[Space] = {
        "learning_rate": FloatRange(low=1e-5, high=1e-2, log=True),
        "epochs": IntRange(low=1, high=5),
        "retain_fraction": FloatRange(low=0.1, high=1.0),
    }

    name: Literal["bad_teacher"] = "bad_teacher"
    retain_fraction: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of D_r that the deployed network teaches, drawn once."""
    temperature: Annotated[float, Field(title="τ", gt=0, le=100)] = 1.0
    """Softens all answers where they are compared."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 7e-3
    """Of Adam, falling to 0 by a cosine."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 2
    """Passes over D_f and that share of D_r."""
    batch_size: Annotated[int, Field(ge=1, le=8192)] = 64

    def needs(self, kind: Kind) -> frozenset[Need]:  # noqa: ARG002 - the same for every kind it serves
        """D_f and D_r."""
        return frozenset({Need.FORGET, Need.RETAIN})
