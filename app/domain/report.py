"""What an audit report says: facts from the worker, findings, and what they mean."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.domain.findings import Finding


class Document(BaseModel):
    """Frozen, with the docstrings of its fields in the OpenAPI document."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Cost(Document):
    """Wall-clock seconds on the worker."""

    unlearning_seconds: float
    """The method, with every Fisher diagonal that it computed."""
    gold_seconds: float | None
    """One retraining from scratch on the same machine; None if none was made."""
    audit_seconds: float
    """Measuring all findings."""


class Environment(Document):
    """What the job ran on."""

    unlearnd: str
    python: str
    torch: str
    device: str
    threads: int


class Measured(Document):
    """The facts that a worker hands over: no judgement yet."""

    findings: list[Finding]
    sizes: dict[str, int]
    """Samples in each set."""
    method_facts: dict[str, float | int | str]
    """What the method reported: selected fraction, thresholds, steps, warnings."""
    cost: Cost
    environment: Environment


class Subject(Document):
    """The model before and after."""

    model: str
    base_version: str
    base_weights_sha256: str
    new_version: str
    new_weights_sha256: str
    dataset: str
    dataset_sha256: str


class Asked(Document):
    """The request, without ids of samples or subjects."""

    forget_request: str
    external_id: str | None
    kind: str
    target: dict[str, Any]
    samples: int
    method: dict[str, Any]
    method_chosen_by: str
    method_reason: str | None
    paper: str
    guarantee: str
    audit: dict[str, Any]
    seed: int
    received_at: datetime
    due_at: datetime


class ReportBody(Document):
    """One report, self-contained."""

    schema_version: Literal["unlearnd/audit-report/v1"] = "unlearnd/audit-report/v1"
    report: str
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
    limits: list[str]
    """What this report does not prove."""
