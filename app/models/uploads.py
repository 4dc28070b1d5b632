"""How weights reach us: streamed in the body, or from a path on this machine; nothing is read from strangers."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.core import db
from app.core.errors import BadRequest, Invalid
from app.keys.caller import Caller, requires
from app.models import intake, service
from app.models.intake import Arrival
from app.models.schemas import Role, VersionId, VersionIn
from app.web.text import NAME, id_pattern

ModelRef = Annotated[str, Path(pattern=NAME, description="Name or id.")]
VersionRef = Annotated[str, Path(pattern=id_pattern("mv"))]
Writer = Annotated[Caller, requires("models:write")]

_BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
ONE_WAY: dict[str, Any] = {"requestBody": {"required": True, "content": _BINARY}}
TWO_WAYS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **_BINARY,
            "application/json": {"schema": VersionIn.model_json_schema()},
        },
    }
}


@dataclass(frozen=True)
class Delivery:
    """What arrived, and what was said about it."""

    weights: Arrival
    initial: Arrival | None = None
    deltas: Arrival | None = None
    role: Role = "candidate"
    parent: str | None = None
    sha256: str | None = None


async def _version(
    request: Request,
    model: ModelRef,
    caller: Writer,
    role: Annotated[Role, Query(description="Of an upload; JSON says it in the body.")] = "candidate",
    parent: Annotated[VersionId | None, Query(description="Of an upload; JSON says it in the body.")] = None,
) -> AsyncIterator[Delivery]:
    await run_in_threadpool(_check_model, model, caller)
    with ExitStack() as stack:
        if _media_type(request) == "application/json":
            wish = _wish(await request.body())
            yield await run_in_threadpool(_fetch, stack, wish)
        else:
            yield Delivery(await _stream(request, stack), role=role, parent=parent)


async def _initial(request: Request, model: ModelRef, version: VersionRef, caller: Writer) -> AsyncIterator[Arrival]:
    await run_in_threadpool(_check_version, model, version, caller)
    with ExitStack() as stack:
        yield await _stream(request, stack)


VersionDelivery = Annotated[Delivery, Depends(_version, scope="function")]
InitialDelivery = Annotated[Arrival, Depends(_initial, scope="function")]


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def _wish(body: bytes) -> VersionIn:
    try:
        return VersionIn.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        if any(item["type"] == "json_invalid" for item in found):
            raise BadRequest("The body is not JSON.", code="invalid_json") from None
        raise RequestValidationError(
            [{**item, "loc": ("body", *item["loc"])} for item in found], body=_Anything()
        ) from None


class _Anything(dict[str, Any]):
    """Stands for a flat body: every step of a location is one of its members."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> None:
        return None


def _fetch(stack: ExitStack, wish: VersionIn) -> Delivery:
    weights = intake.copy(*stack.enter_context(intake.arriving()), wish.path, pointer="/path")
    initial = _beside(stack, wish.initial_weights_path, "/initial_weights_path")
    deltas = _beside(stack, wish.deltas_path, "/deltas_path")
    return Delivery(weights, initial, deltas, wish.role, wish.parent, wish.sha256)


def _beside(stack: ExitStack, path: str | None, pointer: str) -> Arrival | None:
    return None if path is None else intake.copy(*stack.enter_context(intake.arriving()), path, pointer=pointer)


async def _stream(request: Request, stack: ExitStack) -> Arrival:
    if _media_type(request) != "application/octet-stream":
        raise Invalid(
            "Send the weights as application/octet-stream, or say where they are in application/json.",
            code="wrong_media_type",
        )
    sink, arrival = await run_in_threadpool(stack.enter_context, intake.arriving())
    waiting = bytearray()
    async for chunk in request.stream():
        waiting += chunk
        if len(waiting) >= intake.BLOCK:
            await run_in_threadpool(sink.write, bytes(waiting))
            waiting.clear()
    await run_in_threadpool(sink.write, bytes(waiting))
    return await run_in_threadpool(intake.finish, sink, arrival)


def _check_model(model: str, caller: Caller) -> None:
    with db.reading() as session:
        service.get(session, model, tenant_id=caller.tenant_id)


def _check_version(model: str, version: str, caller: Caller) -> None:
    with db.reading() as session:
        service.version_of(session, service.get(session, model, tenant_id=caller.tenant_id), version)
