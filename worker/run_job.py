"""The child process of one job: does one attempt, publishes behind its fence, and ends.

Forked by `worker.fork_server`, or started as `python -m worker.run_job`, it waits on stdin for one line `{"job": …,
"fence": …}`. The line `cancel` asks it to stop. The end of stdin means that the supervisor died, and ends the process
wherever it is. The exit status (`worker.exits`) says what became of it.
"""

import importlib
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeAlias

from sqlalchemy.orm import Session

from app.audit_reports.stand_alone import follow
from app.core.db import reading, transaction
from app.core.errors import Problem
from app.core.settings import get_settings
from app.domain.lifecycle import JobKind, is_final
from app.jobs import service as jobs
from app.tables import Job
from worker.attempt import AttemptRun
from worker.channel import Channel, Order
from worker.exits import Exit
from worker.failures import exit_of
from worker.numerics import thrift
from worker.numerics.errors import NumericsError
from worker.numerics.run import Cancelled

Stories: TypeAlias = Mapping[JobKind, Callable[[str, int, AttemptRun], None]]
Follow: TypeAlias = Callable[[Session, Job], None]
Loaded: TypeAlias = tuple[Stories, Follow]


def main(load: Callable[[], Loaded]) -> int:
    """Wait for the order, do the attempt; the exit status."""
    channel = Channel()  # before torch is imported: a supervisor may die meanwhile
    stories, follow = load()
    order = channel.order()
    thrift.begin(order.halvings)
    try:
        run = AttemptRun(channel, get_settings().runs, order)
        return _attempt(order, run, stories, follow)
    except Exception as error:  # noqa: BLE001 - the outermost block: unexpected, so perhaps not so next time
        traceback.print_exc()
        return exit_of(error)


def load() -> Loaded:
    """Import everything that a job may need, also what torch imports on first use, half a second of it."""
    importlib.import_module("torch.fx.experimental.symbolic_shapes")
    from worker.pipeline import STORIES  # noqa: PLC0415 - takes seconds, and the channel must be open by then

    return STORIES, follow


def _attempt(order: Order, run: AttemptRun, stories: Stories, follow: Follow) -> Exit:
    ended = Exit.DONE
    with reading() as session:
        kind = session.get_one(Job, order.job).kind
    try:
        stories[kind](order.job, order.fence, run)
    except (Cancelled, jobs.FenceLost):
        with transaction() as session:
            _stop(session, order, follow)
    except NumericsError as error:
        ended = Exit.BAD_INPUT
        _fail(order, follow, error.code, str(error))
    except Problem as error:
        ended = Exit.BAD_INPUT
        _fail(order, follow, error.code, error.detail)
    with reading() as session:
        job = session.get_one(Job, order.job)
    if job.fence == order.fence and is_final(job.status):
        shutil.rmtree(run.folder.parent, ignore_errors=True)  # checkpoints too: nobody will go on from them
    return ended


def _fail(order: Order, follow: Follow, code: str, detail: str) -> None:
    with transaction() as session:
        try:
            job = jobs.fenced(session, order.job, order.fence)
        except jobs.FenceLost:
            _stop(session, order, follow)
        else:
            jobs.fail(session, job, code, detail)
            follow(session, job)


def _stop(session: Session, order: Order, follow: Follow) -> None:
    # Cancelled if somebody asked for that; nothing at all if another attempt has the job.
    job = jobs.give_back(session, order.job, order.fence, "stopped")
    if job is not None:
        follow(session, job)


def end(status: int) -> NoReturn:
    """Leave at once: taking torch down in order takes as long as a small job, and there is nothing left to tidy."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    end(main(load))
