"""The events of jobs as Server-Sent Events: resumable, and a thousand listeners cost no more than one.

A listener reads what it has missed, then waits without a thread or a database connection. One task of the event loop
looks for all that wait, with one query for all their jobs, and hands out what is new.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakKeyDictionary

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy.exc import SQLAlchemyError

from app.core.db import reading
from app.domain.lifecycle import is_final
from app.jobs import queries, service
from app.jobs.schemas import JobEventOut
from app.tables import JobEvent

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS = 0.25
SILENCE_SECONDS = 15.0
BATCH = 100

log = logging.getLogger(__name__)


class News(NamedTuple):
    """What is new in a job."""

    texts: Sequence[tuple[int, str]]  # (sequence, the event as it is sent)
    over: bool  # and nothing follows


@dataclass(eq=False)
class Listener:
    """One stream that waits."""

    job_id: str
    seen: int
    news: "asyncio.Queue[News]" = field(default_factory=asyncio.Queue)


class Feed:
    """All that wait in one event loop."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._looking: asyncio.Task[None] | None = None

    def join(self, job_id: str, seen: int) -> Listener:
        """Hear what comes after the event of that number."""
        listener = Listener(job_id, seen)
        self._listeners.add(listener)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return listener

    def leave(self, listener: Listener) -> None:
        """Hear no more; the last one to leave ends the looking."""
        self._listeners.discard(listener)

    async def _look(self) -> None:
        while self._listeners:
            # Who joins while we look may have seen less than we ask for: the next look is for it.
            waiting = list(self._listeners)
            seen: dict[str, int] = {}
            for listener in waiting:
                seen[listener.job_id] = min(listener.seen, seen.get(listener.job_id, listener.seen))
            try:
                found = await run_in_threadpool(news_of, seen)
            except SQLAlchemyError:
                log.warning("the database does not answer; listeners wait", exc_info=True)
                found = {}
            for listener in waiting:
                _hand_out(listener, found.get(listener.job_id))
            await asyncio.sleep(LOOK_SECONDS)


_feeds: "WeakKeyDictionary[asyncio.AbstractEventLoop, Feed]" = WeakKeyDictionary()


def respond(job_id: str, after: int) -> StreamingResponse:
    """All events after that number, until the job is over."""
    return StreamingResponse(_stream(job_id, after), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-cache"})


def news_of(seen: Mapping[str, int]) -> Mapping[str, News]:
    """What is new in these jobs, by the number of the last event that was seen in each. One that is gone is over."""
    found: dict[str, News] = {}
    with reading() as session:
        states = queries.states(session, list(seen))  # first: the event of a final status is there when the status is
        for job_id, after in seen.items():
            status, newest = states.get(job_id, (None, 0))
            rows = service.events_after(session, job_id, limit=BATCH, after=after) if newest > after else []
            over = (status is None or is_final(status)) and len(rows) < BATCH
            found[job_id] = News([(row.sequence, _text(row)) for row in rows], over)
    return found


async def _stream(job_id: str, after: int) -> AsyncIterator[str]:
    while True:
        missed = (await run_in_threadpool(news_of, {job_id: after}))[job_id]
        for number, text in missed.texts:
            yield text
            after = number
        if missed.over:
            return
        if len(missed.texts) < BATCH:
            break
    feed = _feeds.setdefault(asyncio.get_running_loop(), Feed())
    listener = feed.join(job_id, after)
    try:
        while True:
            try:
                news = await asyncio.wait_for(listener.news.get(), SILENCE_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"  # or a proxy takes the connection for dead
                continue
            for _, text in news.texts:
                yield text
            if news.over:
                return
    finally:
        feed.leave(listener)


def _hand_out(listener: Listener, news: News | None) -> None:
    if news is None:
        return
    unseen = [(sequence, text) for sequence, text in news.texts if sequence > listener.seen]
    if unseen or news.over:
        listener.seen = max([listener.seen, *(sequence for sequence, _ in unseen)])
        listener.news.put_nowait(News(unseen, news.over))


def _text(row: JobEvent) -> str:
    event = JobEventOut.model_validate(row)
    return f"id: {event.sequence}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
