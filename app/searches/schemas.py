"""Searches on the wire: what may be asked, and what was found."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.catalogue.unions import AnyMethod
from app.core.params import Kind
from app.core.spaces import AnyRange
from app.domain.lifecycle import JobStatus
from app.domain.objective import Direction, Objective
from app.forget_requests.schemas import ActionOut, StoredTarget, Wish
from app.jobs.schemas import ProgressOut
from app.web.text import Ref

ParameterName = Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class CandidateIn(_Closed):
    """A method, and where to look for better parameters."""

    method: AnyMethod
    """What it gives stays as it is; the rest is searched for where the catalogue declares a range."""
    space: Annotated[dict[ParameterName, AnyRange], Field(max_length=20)] = Field(default_factory=dict)
    """Ranges in place of the declared ones, or beside them."""


class HoldOut(_Closed):
    """One validation part."""

    kind: Literal["hold_out"]
    fraction: Annotated[float, Field(ge=0.05, le=0.5)] = 0.2


class Folds(_Closed):
    """Validation parts that share no sample and together hold all: cross-validation."""

    kind: Literal["folds"]
    count: Annotated[int, Field(ge=2, le=10)] = 5


AnyValidation = Annotated[HoldOut | Folds, Field(discriminator="kind")]


class SearchIn(Wish):
    """What would be forgotten, with which methods, and how long to look."""

    model: Ref
    candidates: Annotated[list[CandidateIn], Field(min_length=1, max_length=10)]
    trials: Annotated[int, Field(ge=2, le=500)] = 30
    """In all; the first are the candidates as they are."""
    validation: AnyValidation = HoldOut(kind="hold_out")
    """Samples that no method sees while it is tried. They come from the training split, never from the test split."""
    gold: Literal["none", "retrain"] | None = None
    """`retrain`: compare with a model that was trained without D_f; by default where there is a recipe. Searches for a
    backdoor or a leakage go by accuracies instead."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class CandidateOut(BaseModel):
    """A method with all its parameters, and what is searched."""

    method: dict[str, Any]
    space: dict[str, AnyRange]


class TrialOut(BaseModel):
    """One trial that is over."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    number: int
    candidate: int
    """Which one, from 0."""
    status: Literal["succeeded", "failed"]
    method: dict[str, Any]
    """Ready to stand in a forget request, as its `method`."""
    searched: dict[str, Any] | None
    """What was proposed; null: the candidate as it is."""
    value: float | None
    """Of the objective: the mean over the validation parts."""
    parts: list[dict[str, float]]
    """What was measured on each part, by measure and set."""
    code: str | None
    """Why it failed."""
    detail: str | None
    seconds: float


class ObjectiveOut(BaseModel):
    """What the trials go by."""

    name: Objective
    direction: Direction


class SearchOut(BaseModel):
    """A search as it stands."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    model_id: str
    dataset_id: str
    base_version_id: str
    alias: str | None
    kind: Kind
    target: StoredTarget
    sample_count: int
    candidates: list[CandidateOut]
    trials: int
    trials_succeeded: int
    trials_failed: int
    validation: dict[str, Any]
    objective: ObjectiveOut
    seed: int
    status: JobStatus
    """Of its job, which is all that happens to it."""
    status_reason: str | None
    status_detail: str | None
    final: bool
    progress: ProgressOut | None
    best: TrialOut | None
    """So far; null if no trial has succeeded."""
    job_id: str
    created_at: datetime
    next_actions: list[ActionOut]
