"""`/forget-requests`: accepted, followed, decided about."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime

from app.domain.lifecycle import RequestStatus
from app.forget_requests import decisions, fan_outs, service
from app.forget_requests.schemas import FanOutOut, ForgetRequestIn, ForgetRequestOut, ReasonIn, ReleaseIn
from app.keys.caller import Caller, requires
from app.web.dependencies import IdempotencyKey, IfMatch, IfNoneMatch, Paging, Reading, Transaction
from app.web.etags import conditional
from app.web.idempotency import once
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import NAME, id_pattern

router = APIRouter(prefix="/forget-requests", tags=["Forget requests"])

RequestId = Annotated[str, Path(pattern=id_pattern("fr"))]
Reader = Annotated[Caller, requires("forget-requests:read")]
Writer = Annotated[Caller, requires("forget-requests:write")]
Approver = Annotated[Caller, requires("forget-requests:approve")]
Releaser = Annotated[Caller, requires("forget-requests:release")]
DECIDED = describe(404, 409, 412, 428)


@router.post("", status_code=202, response_model=ForgetRequestOut | FanOutOut, responses=describe(409))
def submit(
    wish: ForgetRequestIn, session: Transaction, caller: Writer, idempotency_key: IdempotencyKey = None
) -> Response:
    """Accept a forget request. The work happens later, on a worker.

    Without `model`, every model that was trained on the data set and has a version deployed is asked; the answer has a
    child for each.
    """

    def act() -> tuple[ForgetRequestOut | FanOutOut, dict[str, str]]:
        answer = fan_outs.accept(session, wish, tenant_id=caller.tenant_id, actor=caller.key_id)
        return answer, {"Location": f"/forget-requests/{answer.id}", "Retry-After": "5"}

    route = "POST /forget-requests"
    return once(session, idempotency_key, tenant_id=caller.tenant_id, route=route, wish=wish, act=act, status=202)


@router.get("")
def listing(
    session: Reading,
    caller: Reader,
    paging: Paging,
    status: Annotated[RequestStatus | None, Query()] = None,
    model: Annotated[str | None, Query(pattern=NAME, description="Name or id.")] = None,
    overdue: Annotated[bool | None, Query(description="Past the deadline and not over, or not so.")] = None,
    due_before: Annotated[AwareDatetime | None, Query(description="With a time zone.")] = None,
    job: Annotated[str | None, Query(pattern=id_pattern("job"), description="Those that share it.")] = None,
    parent: Annotated[str | None, Query(pattern=id_pattern("fr"), description="The children of this one.")] = None,
) -> Page[ForgetRequestOut]:
    """The tenant's forget requests, newest first; of one without a model, its children."""
    return service.listing(
        session,
        paging,
        tenant_id=caller.tenant_id,
        status=status,
        model=model,
        overdue=overdue,
        due_before=due_before,
        job=job,
        parent=parent,
    )


@router.get(
    "/{request_id}",
    response_model=ForgetRequestOut | FanOutOut,
    responses={**describe(404), 304: {"description": "Unchanged"}},
)
def get(request_id: RequestId, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """One forget request."""
    return conditional(fan_outs.look_up(session, request_id, tenant_id=caller.tenant_id), if_none_match)


@router.post("/{request_id}/cancel", responses=describe(404, 409))
def cancel(request_id: RequestId, session: Transaction, caller: Writer) -> ForgetRequestOut | FanOutOut:
    """Cancel: at once while it waits, as soon as the worker notices while it runs.

    Of requests that share a job only this one leaves it, as long as it waits. Without a model, all children that can.
    """
    return fan_outs.call_off(session, request_id, tenant_id=caller.tenant_id, actor=caller.key_id)


@router.post("/{request_id}/approve", response_model=ForgetRequestOut, responses=DECIDED)
def approve(request_id: RequestId, session: Transaction, caller: Approver, if_match: IfMatch = None) -> Response:
    """Approve a request that its model's policy lets wait for it; the submitter's own key cannot."""
    request = service.get(session, request_id, tenant_id=caller.tenant_id)
    request = decisions.approve(session, request, if_match=if_match, actor=caller.key_id)
    return conditional(service.describe(request), None)


@router.post("/{request_id}/reject", response_model=ForgetRequestOut, responses=DECIDED)
def reject(
    request_id: RequestId, wish: ReasonIn, session: Transaction, caller: Approver, if_match: IfMatch = None
) -> Response:
    """Refuse the approval or the release."""
    request = service.get(session, request_id, tenant_id=caller.tenant_id)
    request = decisions.reject(session, request, wish, if_match=if_match, actor=caller.key_id)
    return conditional(service.describe(request), None)


@router.post("/{request_id}/release", response_model=ForgetRequestOut, responses=DECIDED)
def release(
    request_id: RequestId,
    session: Transaction,
    caller: Releaser,
    wish: ReleaseIn | None = None,
    if_match: IfMatch = None,
) -> Response:
    """Release the version that the request made: its alias moves there."""
    request = service.get(session, request_id, tenant_id=caller.tenant_id)
    request = decisions.release(session, request, wish or ReleaseIn(), if_match=if_match, actor=caller.key_id)
    return conditional(service.describe(request), None)


@router.post("/{request_id}/extend", response_model=ForgetRequestOut, responses=DECIDED)
def extend(
    request_id: RequestId, wish: ReasonIn, session: Transaction, caller: Writer, if_match: IfMatch = None
) -> Response:
    """Put the deadline off by two further months, once, before it has passed (GDPR Art. 12(3))."""
    request = service.get(session, request_id, tenant_id=caller.tenant_id)
    request = decisions.extend(session, request, wish, if_match=if_match, actor=caller.key_id)
    return conditional(service.describe(request), None)
