"""What requests cost the API on PostgreSQL: beside a bare route, in thousands of one model, polled, over a long time.

python -m benchmarks.load
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

import httpx
from sqlalchemy import func, select

from app.core.db import reading
from app.domain.lifecycle import JobKind, JobStatus, RequestStatus, is_final
from app.tables import ForgetRequest, Job
from benchmarks import latency, material
from benchmarks.environment import environment
from benchmarks.material import Subject
from benchmarks.patience import patiently, until
from benchmarks.servers import free_port
from benchmarks.stack import Process, Stack, celery, end_with_what_was_started

RESULT = Path(__file__).parent / "results" / "load.json"
CLIENTS = 4
IDS = 100
TRAIN = 12_000
PER_MODEL = 20
"""Requests in flight of one model, where something else is measured than many requests of one model."""
METHOD = {"name": "finetune", "epochs": 1}
AUDIT = {"metrics": [{"name": "accuracy"}]}
Call = tuple[str, str, Any, dict[str, str]]
"""Method, path, body, headers."""
POLLS_PER_REQUEST = 19
"""In the long run: one request in twenty submits, the others poll."""
DRAIN_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    posts: int
    """In a round, for each of the two routes."""
    polls: int
    coalesced: int
    long_run: int
    step: int
    latency: int


FULL = Size(rounds=10, posts=100, polls=2000, coalesced=10_000, long_run=100_000, step=10_000, latency=20)
QUICK = Size(rounds=2, posts=20, polls=100, coalesced=20, long_run=1000, step=200, latency=3)


def main() -> None:
    """Measure, write the figures down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a little of each, and nothing is written down")
    parser.add_argument("--requests", type=int, help="how many requests of one model are submitted to be coalesced")
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), help="only these; the others stay as they were")
    asked = parser.parse_args()
    end_with_what_was_started()
    size = QUICK if asked.quick else FULL
    coalesced = asked.requests or size.coalesced
    for name in asked.only or PARTS:
        figures = PARTS[name](size, coalesced)
        print(json.dumps(figures, indent=2), flush=True)
        if not asked.quick:
            _write_down(name, figures)


def _write_down(part: str, figures: dict[str, Any]) -> None:
    """Put the figures of a part beside those of the others, with the environment that they were measured in."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    environments = {**result.get("environment", {}), part: environment()}
    RESULT.write_text(json.dumps({**result, **figures, "environment": environments}, indent=2) + "\n")


def routes(size: Size, _requests: int) -> dict[str, Any]:
    """Submitting, beside a bare route in the same minutes; and polling."""
    with _service(workers=0) as (stack, subject), _bare(stack) as bare:
        wishes = _wishes(subject)
        ours, theirs, waits = [], [], []
        for _ in range(size.rounds):
            bodies = [next(wishes) for _ in range(size.posts)]
            seconds, took = _together(
                stack.url, stack.headers, [("POST", "/forget-requests", body, {}) for body in bodies]
            )
            ours.append(size.posts / seconds)
            waits += took
            seconds, _ = _together(bare, {}, [("POST", "/rows", body, {}) for body in bodies])
            theirs.append(size.posts / seconds)
        return {
            "requests_per_second": round(median(ours), 2),
            "bare_requests_per_second": round(median(theirs), 2),
            "ratio_to_bare_route": round(median(a / b for a, b in zip(ours, theirs, strict=True)), 3),
            "p50_ms": round(1000 * median(waits), 1),
            "p99_ms": round(1000 * quantiles(waits, n=100)[98], 1),
            "ids_per_request": IDS,
            "clients": CLIENTS,
            "polls_per_second": round(_polls(stack, size.polls), 1),
        }


def coalescing(_size: Size, requests: int) -> dict[str, Any]:
    """Requests of one model, submitted while no worker runs: how many jobs they become, and what those cost."""
    with (
        _service(workers=1) as (stack, subject),
        httpx.Client(base_url=stack.url, headers=stack.headers, timeout=600) as http,
    ):
        single = material.copies(subject, 1)[0]
        _submit(http, _body(single, [0]))
        _drained()
        one_job = _jobs_of(single.model)
        worker = stack.workers[0]
        worker.signal(15)
        worker.wait()
        several = material.copies(subject, 1)[0]
        started = time.monotonic()
        for number in range(requests):
            _submit(http, _body(several, [number]))
        submitting = time.monotonic() - started
        worker.start()
        _drained()
        jobs = _jobs_of(several.model)
        completed = _count(ForgetRequest.status == RequestStatus.COMPLETED, ForgetRequest.model_id == several.model)
        seconds, one_seconds = sum(jobs), sum(one_job)
        return {
            "coalesced": {
                "requests": requests,
                "completed": completed,
                "jobs": len(jobs),
                "seconds": round(seconds, 2),
                "one_job_seconds": round(one_seconds, 2),
                "cost_ratio": round(seconds / one_seconds, 2),
                "submitting_seconds": round(submitting, 1),
            }
        }


def long_run(size: Size, _requests: int) -> dict[str, Any]:
    """The memory of the API's process over many requests."""
    with _service(workers=0) as (stack, subject):
        wishes = _wishes(subject)
        series = []
        for done in range(0, size.long_run, size.step):
            submitted = size.step // (POLLS_PER_REQUEST + 1)
            posts: list[Call] = [("POST", "/forget-requests", next(wishes), {}) for _ in range(submitted)]
            _together(stack.url, stack.headers, posts)
            polls: list[Call] = [("GET", f"/forget-requests/{_newest()}", None, {})] * (size.step - submitted)
            _together(stack.url, stack.headers, polls)
            series.append({"requests": done + size.step, "rss_mb": round(_rss_mb(stack.processes["api"].pid), 1)})
            print(series[-1], flush=True)
        return {"memory": series}


def waiting(size: Size, _requests: int) -> dict[str, Any]:
    """From POST to `running`, where a worker is idle."""
    executors: tuple[Literal["local", "celery"], ...] = ("local", "celery")
    medians = {}
    for executor in executors:
        with tempfile.TemporaryDirectory() as folder:
            waits = latency.measure(Path(folder), size.latency, executor=executor)
        medians[executor] = round(1000 * median(wait["running"] for wait in waits), 1)
    return {"post_to_running_ms": medians}


PARTS: dict[str, Callable[[Size, int], dict[str, Any]]] = {
    "routes": routes,
    "waiting": waiting,
    "coalescing": coalescing,
    "long_run": long_run,
}


@contextmanager
def _service(workers: int) -> Iterator[tuple[Stack, Subject]]:
    """PostgreSQL as it is by default, Redis, the API, and so many workers once the model is registered."""
    with tempfile.TemporaryDirectory(prefix="unlearn-load-") as name:
        folder = Path(name)
        (folder / "home").mkdir()
        manifest = material.write_manifest(folder / "data" / "tiny.parquet", TRAIN)
        with celery(folder / "home", prefix=folder / "data", workers=max(workers, 1)) as stack:
            with httpx.Client(base_url=stack.url, headers=stack.headers, timeout=60) as http:
                subject = material.register(http, manifest, material.weights(TRAIN))
            if not workers:
                stack.workers[0].signal(15)
                stack.workers[0].wait()
            yield stack, subject


@contextmanager
def _bare(stack: Stack) -> Iterator[str]:
    port = free_port()
    words = [sys.executable, "-m", "uvicorn", "benchmarks.bare:app", "--port", str(port), "--log-level", "warning"]
    process = Process("bare", words, stack.environment, stack.home.parent / "logs" / "bare.log")
    process.start()
    url = f"http://127.0.0.1:{port}"
    try:
        patiently(lambda: httpx.get(f"{url}/openapi.json"))
        yield url
    finally:
        process.signal(15)
        process.wait()


def _wishes(subject: Subject) -> Iterator[dict[str, Any]]:
    """Requests for samples that nobody has asked for yet, a few of each model."""
    while True:
        for copied in material.copies(subject, 10):
            for first in range(0, PER_MODEL * IDS, IDS):
                yield _body(copied, range(first, first + IDS))


def _body(subject: Subject, positions: Sequence[int]) -> dict[str, Any]:
    target = {"kind": "samples", "dataset": subject.dataset, "sample_ids": material.sample_ids(positions)}
    return {"model": subject.model, "target": target, "method": METHOD, "audit": AUDIT}


def _submit(http: httpx.Client, body: dict[str, Any]) -> Any:
    answer = http.post("/forget-requests", json=body)
    if answer.status_code != 202:
        raise RuntimeError(f"{answer.status_code} {answer.text}")
    return answer.json()


def _together(url: str, headers: dict[str, str], calls: Sequence[Call]) -> tuple[float, list[float]]:
    """Make the calls from several threads; the seconds of all, and of each."""

    def some(own: Sequence[Call]) -> list[float]:
        took = []
        with httpx.Client(base_url=url, headers=headers, timeout=600) as http:
            for method, path, body, more in own:
                started = time.monotonic()
                answer = http.request(method, path, json=body, headers=more)
                took.append(time.monotonic() - started)
                if answer.is_error:
                    raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return took

    with ThreadPoolExecutor(CLIENTS) as threads:
        started = time.monotonic()
        waits = list(threads.map(some, [calls[client::CLIENTS] for client in range(CLIENTS)]))
        return time.monotonic() - started, [wait for own in waits for wait in own]


def _polls(stack: Stack, count: int) -> float:
    """Polls of a request that has not changed, per second: answered with 304."""
    path = f"/forget-requests/{_newest()}"
    tag = httpx.get(f"{stack.url}{path}", headers=stack.headers).headers["ETag"]
    unchanged = httpx.get(f"{stack.url}{path}", headers={**stack.headers, "If-None-Match": tag})
    if unchanged.status_code != 304:
        raise RuntimeError(f"{path} was answered with {unchanged.status_code}")
    seconds, _ = _together(stack.url, stack.headers, [("GET", path, None, {"If-None-Match": tag})] * count)
    return count / seconds


def _newest() -> str:
    with reading() as session:
        return session.scalars(select(ForgetRequest.id).order_by(ForgetRequest.id.desc()).limit(1)).one()


def _jobs_of(model_id: str) -> list[float]:
    """The seconds of each unlearning job of a model."""
    with reading() as session:
        asked = select(ForgetRequest.job_id).where(ForgetRequest.model_id == model_id)
        query = select(Job.seconds).where(Job.id.in_(asked), Job.kind == JobKind.UNLEARNING)
        return [seconds or 0.0 for seconds in session.scalars(query)]


def _drained() -> None:
    """Wait until no job is left."""
    if not until(lambda: _left() == 0, DRAIN_SECONDS):
        raise RuntimeError(f"{_left()} jobs are left")


def _left() -> int:
    return _count(Job.status.in_([status for status in JobStatus if not is_final(status)]))


def _count(*conditions: Any) -> int:
    with reading() as session:
        return session.scalar(select(func.count()).where(*conditions)) or 0


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
