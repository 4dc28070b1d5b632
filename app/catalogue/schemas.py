"""The catalogue on the wire: what is offered, what it needs, and the JSON Schema of its parameters."""

from typing import Any

from pydantic import BaseModel

from app.core.params import AuditNeed, Kind, Need
from app.core.spaces import AnyRange


class EntryOut(BaseModel):
    """One entry."""

    name: str
    description: str
    paper: str
    parameters: dict[str, Any]
    """JSON Schema."""


class MetricOut(EntryOut):
    """One audit metric. What it needs is said for its default parameters."""

    serves: list[Kind]
    needs: list[AuditNeed]


class MethodOut(EntryOut):
    """One unlearning method. What it needs is said for its default parameters."""

    serves: list[Kind]
    needs: dict[Kind, list[Need]]
    guarantee: str
    changes_weights: bool
    space: dict[str, AnyRange]
    """Where `POST /searches` looks for better values of its parameters."""
