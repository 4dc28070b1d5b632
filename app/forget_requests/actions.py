"""What a caller may do with a request in each state: the one table that offers and that refuses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.core.errors import Conflict
from app.domain.lifecycle import RequestStatus
from app.forget_requests.schemas import ActionOut
from app.tables import ForgetRequest
from app.tables.base import utcnow


@dataclass(frozen=True)
class Action:
    """Something that a caller may do; the fields of the request stand in its path."""

    name: str
    method: str
    path: str
    offered: Callable[[ForgetRequest], bool] = lambda _: True
    """Whether it makes sense for this request, in a state that allows it."""


def extended(request: ForgetRequest) -> bool:
    """The deadline was put off before: it is once, and no more."""
    return any(decision["decision"] == "extend" for decision in request.decisions)


def _extensible(request: ForgetRequest) -> bool:
    return not extended(request) and utcnow() < request.due_at


def _reported(request: ForgetRequest) -> bool:
    return request.audit_report_id is not None


def _made(request: ForgetRequest) -> bool:
    return request.result_version_id is not None


CANCEL = Action("cancel", "POST", "/forget-requests/{id}/cancel")
APPROVE = Action("approve", "POST", "/forget-requests/{id}/approve")
REJECT = Action("reject", "POST", "/forget-requests/{id}/reject")
RELEASE = Action("release", "POST", "/forget-requests/{id}/release")
EXTEND = Action("extend", "POST", "/forget-requests/{id}/extend", _extensible)
READ_REPORT = Action("read_report", "GET", "/audit-reports/{audit_report_id}", _reported)
DOWNLOAD_WEIGHTS = Action("download_weights", "GET", "/models/{model_id}/versions/{result_version_id}/weights", _made)

R = RequestStatus
NEXT: Mapping[RequestStatus, tuple[Action, ...]] = {
    R.RECEIVED: (),
    R.AWAITING_APPROVAL: (APPROVE, REJECT, CANCEL, EXTEND),
    R.QUEUED: (CANCEL, EXTEND),
    R.RUNNING: (CANCEL, EXTEND),
    R.VERIFYING: (CANCEL, EXTEND),
    R.AWAITING_RELEASE: (READ_REPORT, RELEASE, REJECT, CANCEL, EXTEND),
    R.CANCELLING: (),
    R.COMPLETED: (READ_REPORT, DOWNLOAD_WEIGHTS),
    R.REJECTED: (READ_REPORT,),
    R.FAILED: (),
    R.CANCELLED: (READ_REPORT,),
}

REFUSALS: Mapping[Action, tuple[str, str]] = {
    CANCEL: ("already_final", "nothing is left to cancel"),
    APPROVE: ("not_awaiting_approval", "only one that is awaiting_approval can be approved"),
    REJECT: ("not_awaiting_decision", "only one that is awaiting_approval or awaiting_release can be rejected"),
    RELEASE: ("not_awaiting_release", "only one that is awaiting_release can be released"),
    EXTEND: ("not_extensible", "only one that is under way has a deadline to extend"),
}
"""Of what changes a request: the code and the reason, where its state does not allow it."""


def next_actions(request: ForgetRequest) -> list[ActionOut]:
    """What may be done now."""
    return [
        ActionOut(action=action.name, method=action.method, href=action.path.format(**vars(request)))
        for action in NEXT[request.status]
        if action.offered(request)
    ]


def check_allowed(request: ForgetRequest, action: Action) -> None:
    """Raise unless the state of the request allows it."""
    if action not in NEXT[request.status]:
        code, reason = REFUSALS[action]
        raise Conflict(f"The request is {request.status}: {reason}.", code=code, state=request.status.value)
