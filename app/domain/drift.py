"""Drift: how far unlearning has carried a line of versions away from the model that was trained from scratch."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FROM_SCRATCH = "retrain"
"""The method whose result has drifted from nothing."""
IN_PARTS = "sisa"
"""Retrains some members of a network from scratch: adds no drift, and takes none away."""


class Drift(BaseModel):
    """Summed over the jobs since the newest ancestor that was trained from scratch."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    weight_change: float = 0.0
    """Σ ‖θ′ − θ‖ / ‖θ‖, θ being what each job began with."""
    accuracy_loss: float = 0.0
    """Σ (accuracy on D_r before − after), as each job's audit measured it on its own D_r."""
    jobs: int = 0

    def after(self, method: str, weight_change: float, accuracy_loss: float) -> Self:
        """That of a version which this method made."""
        if method == FROM_SCRATCH:
            return type(self)()
        if method == IN_PARTS:
            return self
        return type(self)(
            weight_change=self.weight_change + weight_change,
            accuracy_loss=self.accuracy_loss + accuracy_loss,
            jobs=self.jobs + 1,
        )


class DriftBudget(BaseModel):
    """How much drift a model may have; where it is spent, `auto` retrains."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    weight_change: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Largest sum of relative changes of the weights."""
    accuracy_loss: Annotated[float, Field(gt=0, le=1)] | None = None
    """Largest accuracy lost on D_r, 0.01 being a point."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.weight_change is None and self.accuracy_loss is None:
            raise ValueError("give weight_change, accuracy_loss or both")
        return self


def spent(drift: Drift, budget: DriftBudget | None) -> str | None:
    """What has reached its bound, in words; None if nothing has, or there is no budget."""
    if budget is None:
        return None
    over = [
        f"{name.replace('_', ' ')} {value:.3g} of {bound:g}"
        for name, value, bound in (
            ("weight_change", drift.weight_change, budget.weight_change),
            ("accuracy_loss", drift.accuracy_loss, budget.accuracy_loss),
        )
        if bound is not None and value >= bound
    ]
    return " and ".join(over) if over else None
