"""What an audit report says: facts from the worker, findings, and what they mean."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.domain.findings import Finding


class Document(BaseModel):
    """Frozen, with the docstrings of its fields in the OpenAPI document."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Cost(Document):
    """Wall-clock seconds on the worker."""

    unlearning_seconds: float | None
    """The method, with every Fisher diagonal that it computed; None if it was carried out elsewhere."""
    stored_fisher_seconds: float | None = None
    """The diagonal stored with the version before, once for all its requests, shards added up; None without one."""
    gold_seconds: float | None
    """One retraining from scratch, the mean over the gold models; None if none was made."""
    golds_reused: int = 0
    """How many gold models an earlier audit had trained; `gold_seconds` are those of that training."""
    audit_seconds: float
    """Measuring all findings."""
    drawing_seconds: float | None = None
    """Measuring and drawing what the figures show."""


class Environment(Document):
    """What the job ran on."""

    unlearnd: str
    python: str
    torch: str
    device: str
    threads: int


class Rung(Document):
    """One method of the ladder that was tried, from the deployed version on."""

    method: dict[str, Any]
    """With all its parameters."""
    verdict: str | None
    """What its own audit came to; None if the method failed."""
    left: str
    """Why it was left, or why the climb ended there."""
    seconds: float
    """Wall-clock seconds of the method on the worker."""
    audit_seconds: float
    """Of its audit, gold models apart."""
    published: bool
    """The new version is what this one made."""


class Figure(Document):
    """A figure of the report: the drawing and the numbers behind it, both kept beside it and bound by their digests."""

    name: str
    title: str
    caption: str
    """How to read it, in a sentence or two."""
    svg_sha256: str
    data_sha256: str


class NotMeasured(Document):
    """A metric that was asked for and could not be measured."""

    metric: str
    reason: str


class Measured(Document):
    """The facts that a worker hands over: no judgement yet."""

    findings: list[Finding]
    sizes: dict[str, int]
    """Samples in each set."""
    method_facts: dict[str, float | int | str]
    """What the method reported: selected fraction, thresholds, steps, warnings."""
    cost: Cost
    environment: Environment
    rungs: list[Rung] = Field(default_factory=list)
    """Every method that was tried, in order."""
    figures: list[Figure] = Field(default_factory=list)
    not_measured: list[NotMeasured] = Field(default_factory=list)


class Subject(Document):
    """The model before and after."""

    model: str
    base_version: str
    base_weights_sha256: str
    new_version: str
    new_weights_sha256: str
    dataset: str
    dataset_sha256: str
    inputs: Literal["pictures", "records", "texts"] = "records"
    """What one sample is, in plain words."""


class Asked(Document):
    """The request, without ids of samples or subjects. A stand-alone audit has no request and knows of no method."""

    forget_request: str | None
    external_id: str | None
    kind: str
    target: dict[str, Any]
    samples: int
    method: dict[str, Any] | None
    method_chosen_by: str
    method_reason: str | None
    paper: str
    guarantee: str
    audit: dict[str, Any]
    policy: dict[str, Any] | None = None
    """The model's policy when this was accepted: the margins of the verdict, who approves, who releases."""
    seed: int
    received_at: datetime
    due_at: datetime | None


class Own(Document):
    """How often the models are right about a request's own samples, of those that were forgotten together."""

    samples: int
    before: float
    after: float
    gold: float | None
    """Mean over the gold models; None: there are none."""


class Batch(Document):
    """Several requests that one computation carried out: what was measured is about all of their samples."""

    requests: int
    samples: int
    """Of all requests together."""
    own: Own
    figures_of: str
    """The report beside which the figures are kept: they are drawn once for all requests."""


class ReportBody(Document):
    """One report, self-contained."""

    schema_version: Literal["unlearnd/audit-report/v1"] = "unlearnd/audit-report/v1"
    report: str
    job: str
    made_at: datetime
    verdict: str
    summary: list[str]
    """The verdict in plain sentences: what was achieved and what was not."""
    asked: Asked
    subject: Subject
    sizes: dict[str, int]
    method_facts: dict[str, float | int | str]
    findings: list[Finding]
    cost: Cost
    environment: Environment
    rungs: list[Rung] = Field(default_factory=list)
    """Every method that was tried, in order; one where the caller named it."""
    figures: list[Figure] = Field(default_factory=list)
    not_measured: list[NotMeasured] = Field(default_factory=list)
    batch: Batch | None = None
    """None: the request was carried out alone."""
    limits: list[str]
    """What this report does not prove."""
