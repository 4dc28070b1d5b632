"""`/methods`, `/audit-metrics`, `/architectures`, `/transforms`: what is offered, with JSON Schemas."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.catalogue import service
from app.catalogue.schemas import EntryOut, MethodOut, MetricOut
from app.keys.caller import Caller, requires
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import NAME

router = APIRouter(tags=["Catalogue"])

EntryName = Annotated[str, Path(pattern=NAME)]
Reader = Annotated[Caller, requires("catalogue:read")]


@router.get("/methods")
def methods(_caller: Reader) -> Page[MethodOut]:
    """All unlearning methods."""
    return Page(data=service.methods(), has_more=False, next_cursor=None)


@router.get("/methods/{name}", responses=describe(404))
def method(name: EntryName, _caller: Reader) -> MethodOut:
    """One unlearning method."""
    return service.named(service.methods(), name)


@router.get("/audit-metrics")
def metrics(_caller: Reader) -> Page[MetricOut]:
    """All audit metrics."""
    return Page(data=service.metrics(), has_more=False, next_cursor=None)


@router.get("/audit-metrics/{name}", responses=describe(404))
def metric(name: EntryName, _caller: Reader) -> MetricOut:
    """One audit metric."""
    return service.named(service.metrics(), name)


@router.get("/architectures")
def architectures(_caller: Reader) -> Page[EntryOut]:
    """All network families."""
    return Page(data=service.architectures(), has_more=False, next_cursor=None)


@router.get("/architectures/{name}", responses=describe(404))
def architecture(name: EntryName, _caller: Reader) -> EntryOut:
    """One network family."""
    return service.named(service.architectures(), name)


@router.get("/transforms")
def transforms(_caller: Reader) -> Page[EntryOut]:
    """All transforms T."""
    return Page(data=service.transforms(), has_more=False, next_cursor=None)


@router.get("/transforms/{name}", responses=describe(404))
def transform(name: EntryName, _caller: Reader) -> EntryOut:
    """One transform T."""
    return service.named(service.transforms(), name)
