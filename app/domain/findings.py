"""Findings and their judgement, as they stand in a report."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Outcome = Literal["pass", "fail", "inconclusive", "not_judged"]


class Gold(BaseModel):
    """The value of models that were retrained without what is forgotten."""

    model_config = ConfigDict(frozen=True)

    mean: float
    std: float
    """Between the gold models; 0 for a single one."""
    models: int


class Finding(BaseModel):
    """One measured number with its controls. Proportions and areas are in [0, 1]."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    metric: str
    measure: str
    on: str
    """The set it was measured on."""
    direction: Literal["higher", "lower", "gold"]
    """Which way is better; `gold`: the closer to a retrained model the better."""
    attack_feature: str | None
    n: int
    """Samples the number rests on."""
    seed: int
    before: float
    after: float
    no_op: float
    """The same procedure on the model to which nothing was done, with its own random draws."""
    gold: Gold | None
    """None: no gold model was asked for."""
    difference_to_gold: float | None
    interval: tuple[float, float]
    """95 % interval of `after`."""
    caveats: tuple[str, ...] = ()
    outcome: Outcome = "not_judged"
    threshold: str | None = None
    reason: str | None = None
