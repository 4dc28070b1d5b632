"""The events of a job as Server-Sent Events: resumable, and without a database connection between two looks."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from app.core.db import reading
from app.domain.lifecycle import is_final
from app.jobs import service
from app.jobs.schemas import JobEventOut
from app.tables import Job

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS = 0.25
SILENCE_SECONDS = 15.0
BATCH = 100


def respond(job_id: str, after: int) -> StreamingResponse:
    """All events after that number, until the job is over."""
    return StreamingResponse(_stream(job_id, after), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-cache"})


async def _stream(job_id: str, after: int) -> AsyncIterator[str]:
    spoke = time.monotonic()
    while True:
        events, over = await run_in_threadpool(_look, job_id, after)
        for event in events:
            yield f"id: {event.sequence}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
            after = event.sequence
        if over:
            return
        if events:
            spoke = time.monotonic()
        elif time.monotonic() - spoke > SILENCE_SECONDS:
            spoke = time.monotonic()
            yield ": still here\n\n"  # or a proxy takes the connection for dead
        await asyncio.sleep(LOOK_SECONDS)


def _look(job_id: str, after: int) -> tuple[Sequence[JobEventOut], bool]:
    with reading() as session:
        status = session.get_one(Job, job_id).status  # first: the event of a final status is there when the status is
        rows = service.events_after(session, job_id, limit=BATCH, after=after)
        return [JobEventOut.model_validate(row) for row in rows], is_final(status) and len(rows) < BATCH
