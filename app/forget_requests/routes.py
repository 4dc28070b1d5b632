"""`/forget-requests`: accepted, followed, cancelled."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.domain.lifecycle import RequestStatus
from app.forget_requests import service
from app.forget_requests.schemas import ForgetRequestIn, ForgetRequestOut
from app.keys.caller import Caller, requires
from app.web.dependencies import IdempotencyKey, IfNoneMatch, Paging, Reading, Transaction
from app.web.etags import conditional
from app.web.idempotency import once
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import NAME, id_pattern

router = APIRouter(prefix="/forget-requests", tags=["Forget requests"])

RequestId = Annotated[str, Path(pattern=id_pattern("fr"))]
Reader = Annotated[Caller, requires("forget-requests:read")]
Writer = Annotated[Caller, requires("forget-requests:write")]


@router.post("", status_code=202, response_model=ForgetRequestOut, responses=describe(409))
def submit(
    wish: ForgetRequestIn, session: Transaction, caller: Writer, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept a forget request. The work happens later, on a worker."""

    def act() -> tuple[ForgetRequestOut, dict[str, str]]:
        request = service.submit(session, wish, tenant_id=caller.tenant_id, actor=caller.key_id)
        return service.describe(request), {"Location": f"/forget-requests/{request.id}", "Retry-After": "5"}

    route = "POST /forget-requests"
    return once(session, idempotency_key, tenant_id=caller.tenant_id, route=route, wish=wish, act=act, status=202)


@router.get("")
def listing(
    session: Reading,
    caller: Reader,
    paging: Paging,
    status: Annotated[RequestStatus | None, Query()] = None,
    model: Annotated[str | None, Query(pattern=NAME, description="Name or id.")] = None,
) -> Page[ForgetRequestOut]:
    """The tenant's forget requests, newest first."""
    return service.listing(session, paging, tenant_id=caller.tenant_id, status=status, model=model)


@router.get(
    "/{request_id}",
    response_model=ForgetRequestOut,
    responses={**describe(404), 304: {"description": "Unchanged"}},
)
def get(request_id: RequestId, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """One forget request."""
    return conditional(service.describe(service.get(session, request_id, tenant_id=caller.tenant_id)), if_none_match)


@router.post("/{request_id}/cancel", responses=describe(404, 409))
def cancel(request_id: RequestId, session: Transaction, caller: Writer) -> ForgetRequestOut:
    """Cancel: at once while it waits, as soon as the worker notices while it runs."""
    request = service.get(session, request_id, tenant_id=caller.tenant_id)
    return service.describe(service.cancel(session, request, actor=caller.key_id))
