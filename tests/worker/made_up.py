"""Executors whose stories are made up: the same child, supervisor, dispatcher and Celery app, without a model.

`python -m tests.worker.made_up` is the child, `… local [SECONDS]` the dispatcher, which looks so often;
`celery -A tests.worker.made_up` the worker. The subject of a job names its story.
"""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping

import torch
from celery import Celery
from sqlalchemy.orm import Session

from app.core.db import reading, transaction
from app.core.settings import get_settings
from app.domain.lifecycle import JobKind
from app.jobs import service as jobs
from app.tables import Job
from worker import local, run_job
from worker.attempt import AttemptRun
from worker.numerics import thrift
from worker.numerics.errors import NonFinite
from worker.supervisor import Supervisor
from worker.tasks import create_celery

CHILD = "tests.worker.made_up"


def succeed(run: AttemptRun) -> None:
    sys.stdout.write("a stray print\n")
    run.progress("count", 1, 2, "steps")
    run.note("counted", 2)
    run.save("count", ({"x": torch.arange(3)}, {"done": 2}))


def fail(_: AttemptRun) -> None:
    raise NonFinite("the loss became NaN")


def resume_after_kill(run: AttemptRun) -> None:
    saved = run.saved("half")
    if saved is None:
        run.save("half", ({"x": torch.tensor([1.0, 2.0])}, {"done": 7}))
        os.kill(os.getpid(), signal.SIGKILL)
        return
    tensors, facts = saved
    run.note("resumed", f"{tensors['x'].tolist()} {facts['done']}")


def crash(_: AttemptRun) -> None:
    raise RuntimeError("out of luck")


def listen(run: AttemptRun) -> None:
    while True:
        run.progress("wait", 0, 1, "steps")
        time.sleep(0.02)


def deaf(run: AttemptRun) -> None:
    run.progress("sleep", 0, 1, "steps")
    time.sleep(600)


def crave(_: AttemptRun) -> None:
    if thrift.at_once(512) > 256:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def swell(run: AttemptRun) -> None:
    hoard = torch.ones(100_000_000)  # 400 MB
    run.progress("sleep", 0, 1, "steps")
    time.sleep(600)
    run.note("hoard", float(hoard[0]))


def no_memory(_: AttemptRun) -> None:
    raise MemoryError


def full_disk(run: AttemptRun) -> None:
    if run.saved("tried") is None:
        run.save("tried", ({}, {"done": 1}))
        raise OSError(errno.ENOSPC, "No space left on device")


def told_to_stop(run: AttemptRun) -> None:
    if run.saved("tried") is None:
        run.save("tried", ({}, {"done": 1}))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)


def on_signal(run: AttemptRun) -> None:
    folder = run.folder.parent
    (folder / "begun").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)


TOLD: Mapping[str, Callable[[AttemptRun], None]] = {
    story.__name__: story
    for story in (
        succeed,
        fail,
        resume_after_kill,
        crash,
        listen,
        deaf,
        crave,
        swell,
        no_memory,
        full_disk,
        told_to_stop,
        on_signal,
    )
}


def tell(job_id: str, fence: int, run: AttemptRun) -> None:
    with reading() as session:
        subject = session.get_one(Job, job_id).subject_id
    TOLD[subject](run)
    with transaction() as session:
        jobs.succeed(session, jobs.fenced(session, job_id, fence))


def follow(session: Session, job: Job) -> None:
    """Nothing follows."""


def load() -> tuple[run_job.Stories, run_job.Follow]:
    return {JobKind.FISHER: tell, JobKind.UNLEARNING: tell}, follow


def supervisor() -> Supervisor:
    return Supervisor(get_settings(), follow, CHILD)


def __getattr__(name: str) -> Celery:
    if name == "celery":
        return create_celery(supervisor)
    raise AttributeError(name)


if __name__ == "__main__":
    if sys.argv[1:2] == ["local"]:
        local.LOOK_SECONDS = float(sys.argv[2]) if sys.argv[2:] else local.LOOK_SECONDS
        local.run(supervisor(), get_settings().concurrency)
    else:
        run_job.end(run_job.main(load))
