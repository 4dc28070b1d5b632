"""A thousand listeners wait for events, and hold no database connection."""

import asyncio
from collections.abc import AsyncIterable, Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, event

from app.core import db
from app.core.db import transaction
from app.jobs import service, stream
from app.tables import Job

LISTENERS = 1000


@pytest.fixture
def few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(url: str, **options: Any) -> Any:
        return create_engine(url, **{**options, "pool_size": 2, "max_overflow": 0, "pool_timeout": 60})

    monkeypatch.setattr(db, "create_engine", small)
    db.engine_for.cache_clear()


def numbers(parts: list[str]) -> list[str]:
    return [part.splitlines()[0] for part in parts if part.startswith("id:")]


async def listen(job: Job, after: int, heard: list[str]) -> None:
    body: AsyncIterable[Any] = stream.respond(job.id, after).body_iterator
    async for part in body:
        heard.append(str(part))  # noqa: PERF401 - it is looked at meanwhile


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


def succeed(job: Job) -> None:
    with transaction() as session:
        taken = service.claim(session, job.id, owner="w")
        assert taken is not None
        service.succeed(session, taken)


@pytest.mark.usefixtures("few_connections")
def test_a_thousand_idle_listeners_cost_one_query_a_look(
    queued: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(stream, "SILENCE_SECONDS", 600)
    jobs = [queued() for _ in range(3)]
    heard: list[list[str]] = [[] for _ in range(LISTENERS)]
    statements: list[str] = []
    looks = 0

    def counted(seen: Any) -> Any:
        nonlocal looks
        looks += 1
        return news_of(seen)

    async def everybody() -> None:
        nonlocal looks
        tasks = [asyncio.create_task(listen(jobs[n % 3], n % 2, heard[n])) for n in range(LISTENERS)]
        waiting = stream._feeds.setdefault(asyncio.get_running_loop(), stream.Feed())
        await until(lambda: len(waiting._listeners) == LISTENERS)
        assert db.engine().pool.checkedout() <= 1  # type: ignore[attr-defined]
        monkeypatch.setattr(stream, "news_of", counted)
        await until(lambda: looks > 0)  # the look before, which nobody counts, is over
        event.listen(db.engine(), "before_cursor_execute", note)
        await until(lambda: looks > 5)
        event.remove(db.engine(), "before_cursor_execute", note)
        assert 0 < len([s for s in statements if "SELECT" in s]) <= looks
        for job in jobs:
            await asyncio.to_thread(succeed, job)
        await asyncio.gather(*tasks)
        await until(lambda: not waiting._listeners)

    def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    news_of = stream.news_of
    asyncio.run(everybody())
    assert all(numbers(heard[n]) == ["id: 1", "id: 2", "id: 3"][n % 2 :] for n in range(LISTENERS))
    assert all('"final":true' in parts[-1] for parts in heard)


def test_a_listener_that_leaves_is_forgotten_and_the_looking_ends(
    queued: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(stream, "SILENCE_SECONDS", 0.02)
    heard: list[str] = []

    async def come_and_go() -> None:
        task = asyncio.create_task(listen(queued(), 0, heard))
        feed = stream._feeds.setdefault(asyncio.get_running_loop(), stream.Feed())
        await until(lambda: ": still here\n\n" in heard)
        task.cancel()
        await until(lambda: not feed._listeners)
        assert feed._looking is not None
        await feed._looking

    asyncio.run(come_and_go())


def test_each_listener_is_told_what_it_has_not_seen() -> None:
    early, late = stream.Listener("job_1", 5), stream.Listener("job_1", 2)
    news = stream.News([(3, "c"), (6, "f")], over=False)
    stream._hand_out(early, news)
    stream._hand_out(late, news)
    assert early.news.get_nowait().texts == [(6, "f")]
    assert late.news.get_nowait().texts == [(3, "c"), (6, "f")]
