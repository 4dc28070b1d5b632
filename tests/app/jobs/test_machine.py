"""Workers, callers, a reaper and a clock in any order: no job is ever held twice, published twice, or stuck.

Hypothesis looks for an order that breaks it. A worker here never forgets a claim: what it does with one that was taken
from it is what a worker does that was frozen and wakes up.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from app.audit_log import service as audit_log
from app.core.db import reading, transaction
from app.core.errors import Conflict
from app.domain.lifecycle import JobKind, JobStatus, is_final
from app.jobs import queries, service
from app.models import service as models
from app.outbox import service as outbox
from app.tables import Dataset, Job, Model, Tenant
from tests.conftest import Home

WORKERS = st.sampled_from(["w1", "w2", "w3"])
NUMBERS = count(1)
MOST_OPEN = 3
"""Jobs that are not over, at once."""
ENDINGS = {"crashed": False, "out_of_memory": False, "storage_full": True, "worker_stopped": True}
"""How attempts end, and whether that is excused."""
CLOCK = [datetime(2026, 1, 1, tzinfo=UTC)]


class Claim(NamedTuple):
    """What a worker believes to hold."""

    job: str
    fence: int


class Queue(RuleBasedStateMachine):
    """One tenant with one model, in a database that other examples have used before."""

    jobs: Bundle[str] = Bundle("jobs")
    claims: Bundle[Claim] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        number = next(NUMBERS)
        self.tenant, self.model = f"tn_{number}", f"mod_{number}"
        self.made: list[str] = []
        self.open = 0
        self.taken: list[Claim] = []
        self.published: Counter[str] = Counter()
        with transaction() as session:
            session.add(Tenant(id=self.tenant, name=self.tenant))
            session.flush()
            session.add(Dataset(id=f"ds_{number}", tenant_id=self.tenant, name="d", path="/d", columns={}, classes=2))
            session.flush()
            session.add(
                Model(
                    id=self.model,
                    tenant_id=self.tenant,
                    name="m",
                    architecture={},
                    preprocessing={},
                    dataset_id=f"ds_{number}",
                )
            )

    def row(self, job_id: str) -> Job:
        with reading() as session:
            return session.get_one(Job, job_id)

    @precondition(lambda self: self.open < MOST_OPEN)
    @rule(target=jobs, exclusive=st.booleans())
    def enqueue(self, *, exclusive: bool) -> str:
        with transaction() as session:
            job = service.enqueue(
                session,
                tenant_id=self.tenant,
                kind=JobKind.UNLEARNING,
                subject_id="fr_1",
                actor="key_1",
                exclusive_model_id=self.model if exclusive else None,
            )
        self.made.append(job.id)
        return job.id

    @rule(target=claims, job_id=jobs, owner=WORKERS)
    def claim(self, job_id: str, owner: str) -> Any:
        return self._claim(job_id, owner)

    @rule(target=claims, job_id=jobs, owner=WORKERS)
    def claim_what_was_lost(self, job_id: str, owner: str) -> Any:
        """Most of what can go wrong needs two claims of one job."""
        with transaction() as session:
            service.reap(session, [self.row(job_id).owner or ""])
        return self._claim(job_id, owner)

    @rule(claim=claims)
    def publish(self, claim: Claim) -> None:
        before = self.row(claim.job)
        entitled = (before.fence, before.status) == (claim.fence, JobStatus.RUNNING)
        try:
            with transaction() as session:
                service.succeed(session, service.fenced(session, *claim))
        except service.FenceLost:
            assert not entitled
        else:
            assert entitled
            self.published[claim.job] += 1

    @rule(claim=claims, deed=st.sampled_from(["renew", "time_out", *ENDINGS]))
    def act(self, claim: Claim, deed: str) -> None:
        """What changes nothing unless the claim still holds."""
        before = self.row(claim.job)
        holds = before.fence == claim.fence and before.status in queries.ACTIVE
        with transaction() as session:
            if deed == "renew":
                assert (service.renew(session, *claim) != "lost") == holds
            elif deed == "time_out":
                service.time_out(session, *claim, "It took too long.")
            else:
                given = service.give_back(session, *claim, deed, excused=ENDINGS[deed])
                assert (given is not None) == holds
        if not holds:
            after = self.row(claim.job)
            assert (after.status, after.transitions) == (before.status, before.transitions)

    @rule(job_id=jobs, really=st.sampled_from([False, False, True]))
    def cancel(self, job_id: str, *, really: bool) -> None:
        before = self.row(job_id)
        if not really:  # or few jobs would live for long
            return
        try:
            with transaction() as session:
                service.cancel(session, before, actor="key_1")
        except Conflict:
            assert is_final(before.status)

    @rule(seconds=st.sampled_from([1, 10, 40, 400]))
    def time_passes(self, seconds: int) -> None:
        CLOCK[0] += timedelta(seconds=seconds)
        self.reap()

    def reap(self) -> None:
        with transaction() as session:
            service.reap(session)

    @rule(paused=st.sampled_from([False, False, False, True]))
    def pause_or_resume(self, *, paused: bool) -> None:
        with transaction() as session:
            act = models.pause_queue if paused else models.resume_queue
            act(session, session.get_one(Model, self.model), actor="key_1")

    @precondition(lambda self: bool(self.made))
    @invariant()
    def all_is_well(self) -> None:
        with reading() as session:
            rows = {job.id: job for job in session.scalars(select(Job).where(Job.tenant_id == self.tenant))}
        for job in rows.values():
            held = [claim for claim in self.taken if (claim.job, claim.fence) == (job.id, job.fence)]
            assert len(held) <= 1
            assert self.published[job.id] == (job.status is JobStatus.SUCCEEDED)
            assert 0 <= job.attempt - job.excused <= job.max_attempts
            assert (job.lease_until is not None) == (job.status in queries.ACTIVE)
            assert job.attempt == job.fence
        self.open = sum(not is_final(job.status) for job in rows.values())
        active = [job for job in rows.values() if job.exclusive_model_id and job.status in queries.ACTIVE]
        assert len(active) <= 1

    def teardown(self) -> None:
        """Once workers do their work, every job comes to its end, and the audit log holds."""
        with transaction() as session:
            models.resume_queue(session, session.get_one(Model, self.model), actor="key_1")
        for _ in range(2 * len(self.made) + 2):
            CLOCK[0] += timedelta(hours=1)
            self.reap()
            with reading() as session:
                waiting = set(queries.waiting(session, 100)) & set(self.made)
            for job_id in waiting:
                self._claim(job_id, "w1")
                self.publish(self.taken[-1])
        with reading() as session:
            stuck = [job.id for job in map(self.row, self.made) if not is_final(job.status)]
            broken = audit_log.verify(session, self.tenant)
        assert stuck == []
        assert broken is None

    def _claim(self, job_id: str, owner: str) -> Any:
        with transaction() as session:
            job = service.claim(session, job_id, owner=owner)
        if job is None:
            return multiple()
        for older in self.taken:
            if older.job == job.id:
                with transaction() as session, pytest.raises(service.FenceLost):
                    service.fenced(session, *older)
        self.taken.append(Claim(job.id, job.fence))
        return self.taken[-1]


def test_whatever_the_order_no_job_is_held_twice_published_twice_or_stuck(
    database: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (service, outbox, audit_log, models):
        monkeypatch.setattr(module, "now", lambda _: CLOCK[0])
    monkeypatch.setattr(queries, "utcnow", lambda: CLOCK[0])
    run_state_machine_as_test(
        Queue,
        settings=settings(
            max_examples=12 if database.dialect == "sqlite" else 8,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
