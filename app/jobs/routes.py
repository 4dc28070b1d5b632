"""`/jobs`: polled, watched, cancelled."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy.orm import Session

from app.domain.lifecycle import JobKind, JobStatus
from app.jobs import service, stream
from app.jobs.schemas import JobEventPage, JobOut
from app.keys.caller import Caller, requires
from app.tables import Job
from app.web.dependencies import IfNoneMatch, Paging, Reading, Transaction
from app.web.etags import conditional
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import id_pattern

router = APIRouter(prefix="/jobs", tags=["Jobs"])


def follower(request: Request) -> Callable[[Session, Job], None]:
    """Lets what the job is about follow its status; set by `create_app`, because all of that stands above jobs."""
    follow: Callable[[Session, Job], None] = request.app.state.follow_job
    return follow


JobId = Annotated[str, Path(pattern=id_pattern("job"))]
Reader = Annotated[Caller, requires("jobs:read")]
Writer = Annotated[Caller, requires("jobs:write")]
Follower = Annotated[Callable[[Session, Job], None], Depends(follower)]
EventNumber = Annotated[int, Query(ge=0, le=2**31 - 1, description="Events after the one of this number.")]
LastEventId = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=2**31 - 1)]


@router.get("")
def listing(
    session: Reading,
    caller: Reader,
    paging: Paging,
    status: Annotated[JobStatus | None, Query()] = None,
    kind: Annotated[JobKind | None, Query()] = None,
) -> Page[JobOut]:
    """The tenant's jobs, newest first."""
    return service.listing(session, paging, tenant_id=caller.tenant_id, status=status, kind=kind)


@router.get("/{job_id}", response_model=JobOut, responses={**describe(404), 304: {"description": "Unchanged"}})
def get(job_id: JobId, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """One job."""
    return conditional(service.describe(service.get(session, job_id, tenant_id=caller.tenant_id)), if_none_match)


@router.post("/{job_id}/cancel", status_code=202, responses=describe(404, 409))
def cancel(job_id: JobId, session: Transaction, caller: Writer, follow: Follower) -> JobOut:
    """Cancel: at once while it waits, as soon as the worker notices while it runs."""
    job = service.get(session, job_id, tenant_id=caller.tenant_id)
    job = service.cancel(session, job, actor=caller.key_id)
    follow(session, job)
    return service.describe(job)


@router.get(
    "/{job_id}/events",
    response_model=JobEventPage,
    responses={**describe(404), 200: {"content": {stream.MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
def events(
    job_id: JobId,
    session: Reading,
    caller: Reader,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: EventNumber = 0,
    last_event_id: LastEventId = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """What happened in a job: a page, or a stream until the job is over where `text/event-stream` is accepted."""
    job = service.get(session, job_id, tenant_id=caller.tenant_id)
    if stream.MEDIA_TYPE in accept:
        return stream.respond(job.id, after if last_event_id is None else last_event_id)
    return Response(
        service.event_page(session, job.id, limit=limit, after=after).model_dump_json(), media_type="application/json"
    )
