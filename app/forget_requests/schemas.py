"""Forget requests on the wire. What comes in may hold ids of samples and subjects; what goes out never does."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.catalogue.unions import DEFAULT_METRICS, AnyMethod, AnyMetric, AnyTransform
from app.core.params import Kind
from app.domain.lifecycle import RequestStatus
from app.domain.policy import ModelPolicy
from app.models.schemas import VersionId
from app.transforms.mask import MaskParams
from app.web.text import Identity, Line, Name, Ref

Identities = Annotated[list[Identity], Field(min_length=1, max_length=10_000)]
Label = Annotated[int, Field(ge=0, lt=100_000)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Filter(_Closed):
    """Training samples by label, by subject, or by both."""

    label: Label | None = None
    subject_ids: Identities | None = None

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.label is None and self.subject_ids is None:
            raise ValueError("give label, subject_ids or both")
        return self


class _Target(_Closed):
    dataset: Ref
    """The data set that the model was trained on."""


class SamplesTarget(_Target):
    """Whole samples, by their ids."""

    kind: Literal["samples"]
    sample_ids: Identities


class SubjectsTarget(_Target):
    """All training samples of some subjects."""

    kind: Literal["subjects"]
    subject_ids: Identities


class ClassTarget(_Target):
    """All training samples of a class (pattern A)."""

    kind: Literal["class"]
    label: Label


class _PartTarget(_Target):
    sample_ids: Identities | None = None
    filter: Filter | None = None

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if (self.sample_ids is None) == (self.filter is None):
            raise ValueError("give sample_ids or filter, and only one of them")
        return self


class BackdoorTarget(_PartTarget):
    """The trigger in some samples (pattern B)."""

    kind: Literal["backdoor"]
    transform: AnyTransform | None = None
    """T, which adds the trigger to an input."""
    pairs: Ref | None = None
    """A data set of the same samples without the trigger, matched by sample_id."""

    @model_validator(mode="after")
    def _known_trigger(self) -> Self:
        if self.transform is None and self.pairs is None:
            raise ValueError("give transform, pairs or both")
        return self


class LeakageTarget(_PartTarget):
    """A leaked feature in some samples (pattern C)."""

    kind: Literal["leakage"]
    mask: MaskParams
    """Covers the feature."""
    transform: AnyTransform | None = None
    """T, which adds the feature; with it D_r,extra can be measured."""


AnyTarget = Annotated[
    SamplesTarget | SubjectsTarget | ClassTarget | BackdoorTarget | LeakageTarget, Field(discriminator="kind")
]


class AutoMethod(_Closed):
    """The service chooses: the cheapest method that the model's stored state allows, stronger ones until one passes."""

    name: Literal["auto"]


def _default_metrics() -> list[AnyMetric]:
    return [metric() for metric in DEFAULT_METRICS]


class AuditIn(_Closed):
    """How the result is audited."""

    metrics: Annotated[list[AnyMetric], Field(min_length=1, max_length=20)] = Field(default_factory=_default_metrics)
    """By default those that the verdict and its sentences are made of; each is measured where its sets exist."""
    gold: Literal["none", "retrain", "registered"] = "none"
    """What a retrained model would answer: not asked, retrained for this audit, or taken from registered versions."""
    gold_seeds: Annotated[int, Field(ge=1, le=10)] = 1
    """For `retrain`, and only then: how many models are retrained, one seed each."""
    gold_versions: Annotated[list[VersionId], Field(max_length=10)] = Field(default_factory=list)
    """For `registered`, and only then: versions of role gold."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.gold == "registered") != bool(self.gold_versions):
            raise ValueError("gold_versions belong to gold `registered`, which needs them")
        if self.gold != "retrain" and self.gold_seeds != 1:
            raise ValueError("gold_seeds belong to gold `retrain`")
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names) or len(set(self.gold_versions)) != len(self.gold_versions):
            raise ValueError("a metric or a gold version stands twice")
        return self


class Wish(_Closed):
    """What shall be forgotten, and by which model."""

    model: Ref | None = None
    """Without it a forget request goes to every model that was trained on the data set and has such an alias."""
    alias: Name = "deployed"
    """The version that this alias points to is the one that forgets."""
    version: VersionId | None = None
    """Or this version."""
    target: AnyTarget

    @model_validator(mode="after")
    def _one_version(self) -> Self:
        if self.version is not None and "alias" in self.model_fields_set:
            raise ValueError("give alias or version, not both")
        return self


class ForgetRequestIn(Wish):
    """What shall be forgotten, by which model, how, and how that is audited."""

    method: AnyMethod | AutoMethod = Field(default=AutoMethod(name="auto"), discriminator="name")
    audit: AuditIn = Field(default_factory=AuditIn)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    external_id: Line | None = None
    """The caller's own reference."""
    received_at: AwareDatetime | None = None
    """When the person asked; by default now. The deadline counts from here."""


class ReasonIn(_Closed):
    """A decision that must say why."""

    reason: Line
    """No personal data: it stays in the audit log."""


class ReleaseIn(_Closed):
    """A release; it must say why where it goes against the policy."""

    override: bool = False
    """Release it although the policy does not, where the policy lets itself be overridden."""
    reason: Annotated[Line | None, Field(validate_default=True)] = None
    """No personal data: it stays in the audit log."""

    @field_validator("reason")
    @classmethod
    def _why(cls, reason: str | None, info: ValidationInfo) -> str | None:
        if reason is None and info.data.get("override"):
            raise PydanticCustomError("missing", "An override says why")
        return reason


class StoredTarget(BaseModel):
    """What the row keeps of a target: everything but the ids of samples and subjects."""

    kind: Kind
    dataset: str
    label: int | None = None
    """Of a class, or of a filter."""
    transform: AnyTransform | None = None
    mask: MaskParams | None = None
    pairs: str | None = None


class ActionOut(BaseModel):
    """Something that the caller may do now."""

    action: str
    method: str
    href: str


class TransitionOut(BaseModel):
    """When it came into a state."""

    status: RequestStatus
    at: datetime
    reason: str | None = None


class Decision(BaseModel):
    """What somebody decided about the request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    decision: Literal["approve", "reject", "release", "extend"]
    by: str
    """The id of the API key."""
    at: datetime
    reason: str | None
    override: bool
    """A release that the policy would not have made."""


class CandidateOut(BaseModel):
    """A method that was considered, with all its parameters."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    method: dict[str, Any]
    left_out: str | None
    """Why it is not tried; null if it is."""


class CoveredOut(BaseModel):
    """Samples of the target that an earlier request covers."""

    forget_request: str
    samples: int


class ForgetRequestOut(BaseModel):
    """A forget request, without a single id of a sample or a subject."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    model_id: str
    dataset_id: str
    base_version_id: str
    """Of a request by alias: what it would build on now; settled when its job begins."""
    alias: str | None
    kind: Kind
    target: StoredTarget
    method: dict[str, Any]
    """The first that is tried; once completed, the one whose result is published."""
    method_chosen_by: str
    method_reason: str | None
    ladder: list[CandidateOut]
    """Tried in order until the audit passes; of `auto`, settled when its job begins. Of a named method, that one."""
    audit: dict[str, Any]
    policy: ModelPolicy
    """Of the model when the request was accepted; what changed since does not concern it."""
    submitted_by: str | None
    """The id of the API key."""
    decisions: list[Decision]
    seed: int
    sample_count: int
    already_forgotten: list[CoveredOut]
    external_id: str | None
    received_at: datetime
    due_at: datetime
    overdue: bool
    status: RequestStatus
    status_reason: str | None
    status_detail: str | None
    final: bool
    transitions: list[TransitionOut]
    job_id: str | None
    """Requests that ask the same share a job."""
    parent_id: str | None
    """The request without a model that it came from."""
    result_version_id: str | None
    audit_report_id: str | None
    created_at: datetime
    next_actions: list[ActionOut]


class ChildOut(BaseModel):
    """What one model makes of a request that went to several."""

    id: str
    model_id: str
    model: str
    status: RequestStatus
    status_reason: str | None
    result_version_id: str | None
    audit_report_id: str | None


class CoveredModelOut(BaseModel):
    """A model that has forgotten all of it already, or is about to."""

    model_id: str
    model: str
    forget_request: str
    code: str


class FanOutOut(BaseModel):
    """A forget request without a model: what it is follows from its children, one for each model."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    dataset_id: str
    alias: str
    kind: Kind
    external_id: str | None
    received_at: datetime
    due_at: datetime
    overdue: bool
    status: RequestStatus
    """Completed when all children are; failed, or else cancelled, when they are over and one of them is."""
    final: bool
    counts: dict[RequestStatus, int]
    """How many children are in each state."""
    children: list[ChildOut]
    already_forgotten: list[CoveredModelOut]
    """Models without a child."""
    created_at: datetime
    next_actions: list[ActionOut]
