"""Descriptions of what is offered, read from the parameter classes themselves."""

from collections.abc import Sequence
from inspect import getdoc
from typing import Any, TypeVar

from app.catalogue.schemas import EntryOut, MethodOut, MetricOut
from app.catalogue.unions import ARCHITECTURES, METHODS, METRICS, TRANSFORMS
from app.core.errors import NotFound
from app.core.params import ArchitectureParams, MethodParams, MetricParams, TransformParams

Entry = TypeVar("Entry", bound=EntryOut)


def methods() -> list[MethodOut]:
    """All unlearning methods."""
    return [_method(params) for params in METHODS]


def metrics() -> list[MetricOut]:
    """All audit metrics."""
    return [
        MetricOut(**_common(params), serves=sorted(params.serves), needs=sorted(params().needs())) for params in METRICS
    ]


def architectures() -> list[EntryOut]:
    """All network families."""
    return [EntryOut(**_common(params)) for params in ARCHITECTURES]


def transforms() -> list[EntryOut]:
    """All transforms T."""
    return [EntryOut(**_common(params)) for params in TRANSFORMS]


def named(entries: Sequence[Entry], name: str) -> Entry:
    """The entry of this name."""
    for entry in entries:
        if entry.name == name:
            return entry
    raise NotFound("The catalogue has no such entry; the list above this path names them all.", code="no_such_entry")


def _common(
    params: type[MethodParams | MetricParams | ArchitectureParams | TransformParams],
) -> dict[str, Any]:
    return {
        "name": params.model_fields["name"].default,
        "description": getdoc(params),
        "paper": params.paper,
        "parameters": params.model_json_schema(),
    }


def _method(params: type[MethodParams]) -> MethodOut:
    kinds = sorted(params.serves)
    return MethodOut(
        **_common(params),
        serves=kinds,
        needs={kind: sorted(params().needs(kind)) for kind in kinds},
        guarantee=params.guarantee,
        changes_weights=params.changes_weights,
        space=dict(params.space),
    )
