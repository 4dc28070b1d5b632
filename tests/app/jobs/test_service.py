import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from app.core.db import now, reading, transaction
from app.core.errors import Conflict, NotFound
from app.domain.lifecycle import JobStatus, is_final
from app.jobs import queries, service
from app.outbox.service import relay
from app.tables import AuditLogEntry, Job, OutboxMessage, Tenant

Queued = Callable[..., Job]


class Bell:
    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, job_ids: object) -> None:
        self.rung += list(job_ids)  # type: ignore[call-overload]


def claim(job: Job, owner: str = "w1") -> Job | None:
    with transaction() as session:
        return service.claim(session, job.id, owner=owner)


def claimed(job: Job) -> Job:
    taken = claim(job)
    assert taken is not None
    return taken


def expire(job: Job) -> None:
    with transaction() as session:
        session.get_one(Job, job.id).lease_until = now(session) - timedelta(seconds=1)


def status(job: Job) -> JobStatus:
    with reading() as session:
        return session.get_one(Job, job.id).status


def give_back(job: Job) -> Job | None:
    with transaction() as session:
        return service.give_back(session, job.id, job.fence, "crashed", "exit 70")


def cancel(job: Job) -> Job:
    with transaction() as session:
        return service.cancel(session, job, actor="key_1")


def announced() -> list[str]:
    bell = Bell()
    relay(bell)
    return bell.rung


def test_a_new_job_is_queued_announced_and_in_the_audit_log(queued: Queued) -> None:
    job = queued()
    assert announced() == [job.id]
    with reading() as session:
        entry = session.scalars(select(AuditLogEntry)).one()
        events = service.events_after(session, job.id, limit=10)
    assert (entry.actor, entry.action, entry.resource) == ("key_1", "job.queued", job.id)
    assert [(event.sequence, event.type, event.data["status"]) for event in events] == [(1, "status", "queued")]


def test_a_claim_gives_a_lease_and_a_fence(queued: Queued) -> None:
    job = claimed(queued())
    assert (job.status, job.attempt, job.fence, job.owner) == (JobStatus.RUNNING, 1, 1, "w1")
    with reading() as session:
        assert job.lease_until is not None
        assert timedelta(seconds=20) < job.lease_until - now(session) <= timedelta(seconds=30)
    assert claim(job, "w2") is None


@pytest.mark.parametrize("_round", range(3))
def test_of_workers_that_claim_at_once_exactly_one_wins(queued: Queued, _round: int) -> None:
    job, won, start = queued(), [], threading.Barrier(4)

    def worker(name: str) -> None:
        start.wait()
        if claim(job, name) is not None:
            won.append(name)

    threads = [threading.Thread(target=worker, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    with reading() as session:
        assert session.get_one(Job, job.id).owner == won[0]


def test_a_model_has_one_active_job_and_they_run_in_order(queued: Queued, model: str) -> None:
    first, second, third = queued(model), queued(model), queued(model)
    assert claim(second) is None  # not its turn
    taken = claimed(first)
    assert claim(second) is None  # the model is busy
    announced()
    with transaction() as session:
        service.succeed(session, service.fenced(session, taken.id, taken.fence))
    assert announced() == [second.id]  # the next one hears of it
    assert claim(third) is None
    claimed(second)


def test_jobs_of_one_model_that_race_break_on_the_index(
    queued: Queued, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = queued(model), queued(model)
    monkeypatch.setattr(queries, "has_its_turn", lambda *_: True)  # both looked before either wrote
    assert claim(first) is not None
    assert claim(second) is None
    assert status(second) is JobStatus.QUEUED


def test_waiting_jobs_are_listed_when_it_is_their_turn(queued: Queued, model: str) -> None:
    first, second, other = queued(model), queued(model), queued()
    with reading() as session:
        assert queries.waiting(session, 10) == [first.id, other.id]
    cancel(first)
    with reading() as session:
        assert queries.waiting(session, 10) == [second.id, other.id]


def shards_of(whole: Job) -> list[Job]:
    with reading() as session:
        return list(queries.shards_of(session, whole.id))


def succeed(job: Job, pause: float = 0) -> None:
    taken = claimed(job)
    with transaction() as session:
        service.succeed(session, service.fenced(session, taken.id, taken.fence))
        time.sleep(pause)


def test_a_job_in_shards_waits_for_all_of_them(queued: Queued) -> None:
    whole = queued(shards=3)
    first, second, third = shards_of(whole)
    assert [(s.whole_id, s.shard, s.shards) for s in (first, second, third)] == [(whole.id, n, 3) for n in (1, 2, 3)]
    assert (whole.whole_id, whole.shard, whole.shards) == (None, None, 3)
    for done, shard in enumerate((third, first), 1):
        succeed(shard)
        assert claim(whole) is None
        with reading() as session:
            progress = session.get_one(Job, whole.id).progress
        assert progress == {"phase": "shards", "completed": done, "total": 3, "unit": "shards", "message": None}
    with reading() as session:
        assert queries.waiting(session, 10) == [second.id]
    announced()
    succeed(second)
    assert announced() == [whole.id]
    assert claimed(whole).attempt == 1
    with reading() as session:
        events = service.events_after(session, whole.id, limit=10)
    assert [event.data["completed"] for event in events if event.type == "progress"] == [1, 2, 3]


def test_of_two_last_shards_at_once_one_announces_the_whole(queued: Queued) -> None:
    whole = queued(shards=2)
    announced()
    threads = [threading.Thread(target=succeed, args=(shard, 0.3)) for shard in shards_of(whole)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert announced() == [whole.id]
    with reading() as session:
        assert session.get_one(Job, whole.id).progress["completed"] == 2  # type: ignore[index]


def fail(job: Job) -> None:
    with transaction() as session:
        service.fail(session, service.fenced(session, job.id, job.fence), "digest_mismatch", "The files have changed.")


def lose(job: Job) -> None:
    give_back(job)
    give_back(claimed(job))
    give_back(claimed(job))


def cancel_running(job: Job) -> None:
    cancel(job)
    give_back(job)


@pytest.mark.parametrize(
    ("ends", "reason", "detail"),
    [
        (fail, "shard_failed", "The files have changed."),
        (lose, "shard_lost", "exit 70"),
        (cancel_running, "shard_cancelled", "cancelled"),
    ],
)
def test_a_shard_that_comes_to_nothing_takes_the_others_with_it(
    queued: Queued, ends: Callable[[Job], None], reason: str, detail: str
) -> None:
    whole, bystander = queued(shards=4), queued(shards=2)
    done, running, bad, waiting = shards_of(whole)
    succeed(done)
    claimed(running)
    ends(claimed(bad))
    with reading() as session:
        row = session.get_one(Job, whole.id)
    assert (row.status, row.status_reason) == (JobStatus.CANCELLED, reason)
    assert row.status_detail == f"Shard 3 of 4, {bad.id}: {detail}"
    assert [status(s) for s in (done, running, waiting)] == [
        JobStatus.SUCCEEDED,
        JobStatus.CANCELLING,
        JobStatus.CANCELLED,
    ]
    assert {status(s) for s in (bystander, *shards_of(bystander))} == {JobStatus.QUEUED}


def test_a_shard_that_is_tried_again_leaves_the_others_alone(queued: Queued) -> None:
    whole = queued(shards=2)
    first, second = shards_of(whole)
    give_back(claimed(first))
    assert {status(job) for job in (whole, first, second)} == {JobStatus.QUEUED}
    succeed(first)
    succeed(second)
    claimed(whole)


def test_cancelling_the_whole_cancels_its_shards(queued: Queued) -> None:
    whole = queued(shards=3)
    done, running, waiting = shards_of(whole)
    succeed(done)
    taken = claimed(running)
    cancel(whole)
    assert [status(s) for s in (done, running, waiting)] == [
        JobStatus.SUCCEEDED,
        JobStatus.CANCELLING,
        JobStatus.CANCELLED,
    ]
    give_back(taken)
    assert status(running) is JobStatus.CANCELLED
    assert status(whole) is JobStatus.CANCELLED


def test_shards_that_fail_at_once_do_not_wait_for_each_other(queued: Queued) -> None:
    for _ in range(5):
        whole = queued(shards=4)
        taken = [claimed(shard) for shard in shards_of(whole)]
        start, broken = threading.Barrier(len(taken)), list[Exception]()

        def worker(job: Job, start: threading.Barrier = start, broken: list[Exception] = broken) -> None:
            start.wait()
            try:
                fail(job)
            except service.FenceLost:
                give_back(job)  # as the child does
            except Exception as error:  # noqa: BLE001 - a deadlock, say
                broken.append(error)

        threads = [threading.Thread(target=worker, args=(job,)) for job in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not broken
        assert status(whole) is JobStatus.CANCELLED
        with transaction() as session:
            service.reap(session)
        assert {status(shard) for shard in shards_of(whole)} <= {JobStatus.FAILED, JobStatus.CANCELLED}


def test_of_two_shards_that_fail_at_once_the_first_ends_the_whole(queued: Queued) -> None:
    whole = queued(shards=2)
    one, two = (claimed(shard) for shard in shards_of(whole))
    held, failed = threading.Event(), threading.Event()

    def second() -> None:
        with transaction() as session:
            job = service.fenced(session, two.id, two.fence)
            held.set()
            failed.wait(1)  # on SQLite nobody else can write meanwhile
            service.fail(session, job, "digest_mismatch", "")

    thread = threading.Thread(target=second)
    thread.start()
    held.wait()
    try:
        with transaction() as session:
            service.fail(session, service.fenced(session, one.id, one.fence), "digest_mismatch", "")
            failed.set()
            time.sleep(0.3)
    except service.FenceLost:
        give_back(one)
    thread.join()
    with reading() as session:
        events = service.events_after(session, whole.id, limit=10)
    assert [event.data["status"] for event in events if event.type == "status"] == ["queued", "cancelled"]


def test_the_reaper_and_a_shard_do_not_wait_for_each_other(queued: Queued) -> None:
    other, whole = claimed(queued()), queued(shards=2)
    vanished, failing = shards_of(whole)
    give_back(claimed(vanished))
    give_back(claimed(vanished))
    failing = claimed(failing)
    for job in (other, claimed(vanished)):
        expire(job)
    held, broken = threading.Event(), list[Exception]()

    def last_words() -> None:
        try:
            with transaction() as session:
                job = service.fenced(session, failing.id, failing.fence)
                queries.locked(session, whole.id)
                held.set()
                time.sleep(0.5)
                service.fail(session, job, "digest_mismatch", "")
        except Exception as error:  # noqa: BLE001 - a deadlock, say
            broken.append(error)

    thread = threading.Thread(target=last_words)
    thread.start()
    held.wait()
    with transaction() as session:
        service.reap(session)
    thread.join()
    assert not broken
    assert [status(job) for job in (whole, failing)] == [JobStatus.CANCELLED, JobStatus.FAILED]
    assert is_final(status(vanished))


def test_the_reaper_stops_shards_that_nobody_needs(queued: Queued) -> None:
    whole = queued(shards=3)
    running, waiting, vanished = shards_of(whole)
    claimed(running)
    claimed(vanished)
    expire(vanished)
    with transaction() as session:  # as if their rows had been locked when the whole was cancelled
        session.get_one(Job, whole.id).status = JobStatus.CANCELLED
    with transaction() as session:
        service.reap(session)
    assert [status(s) for s in (running, waiting, vanished)] == [
        JobStatus.CANCELLING,
        JobStatus.CANCELLED,
        JobStatus.CANCELLED,
    ]


def test_a_zombie_publishes_nothing(queued: Queued) -> None:
    zombie = claimed(queued())
    expire(zombie)
    successor = claim(zombie, "w2")
    assert successor is not None
    assert successor.fence == zombie.fence + 1
    with transaction() as session, pytest.raises(service.FenceLost):
        service.fenced(session, zombie.id, zombie.fence)
    with transaction() as session, pytest.raises(service.FenceLost):
        service.record(session, zombie.id, zombie.fence, [("log", {})])
    with transaction() as session:
        assert service.renew(session, zombie.id, zombie.fence) == "lost"
        assert service.renew(session, zombie.id, successor.fence) == "held"
    assert give_back(zombie) is None
    assert status(zombie) is JobStatus.RUNNING


def test_a_crashed_attempt_is_tried_again_until_the_attempts_are_used_up(queued: Queued) -> None:
    job = queued()
    for attempt in (1, 2, 3):
        announced()
        assert job.status is JobStatus.QUEUED
        taken = claimed(job)
        assert taken.attempt == attempt
        returned = give_back(taken)
        assert returned is not None
        job = returned
        assert announced() == ([job.id] if attempt < 3 else [])
    assert (job.status, job.status_reason, job.status_detail) == (JobStatus.LOST, "crashed", "exit 70")
    assert claim(job) is None


def test_the_reaper_takes_back_what_vanished_workers_held(queued: Queued) -> None:
    gone, alive, stopping = claimed(queued()), claimed(queued()), claimed(queued())
    expire(gone)
    cancel(stopping)
    expire(stopping)
    with transaction() as session:
        assert [job.id for job in service.reap(session)] == [gone.id, stopping.id]
    assert (status(gone), status(alive)) == (JobStatus.QUEUED, JobStatus.RUNNING)
    assert status(stopping) is JobStatus.CANCELLED


def test_the_reaper_loses_what_has_no_attempt_left(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "get_settings", lambda: type("S", (), {"max_attempts": 1, "lease_seconds": 60}))
    job = claimed(queued())
    expire(job)
    assert claim(job, "w2") is None
    with transaction() as session:
        service.reap(session)
    assert status(job) is JobStatus.LOST


def test_the_reaper_announces_again_what_nobody_picked_up(queued: Queued, model: str) -> None:
    first, second = queued(model), queued(model)
    announced()
    with transaction() as session:
        service.reap(session)
    assert announced() == []  # too early
    with transaction() as session:
        for message in session.scalars(select(OutboxMessage)):
            message.created_at -= timedelta(seconds=31)
    with transaction() as session:
        service.reap(session)
    assert announced() == [first.id]  # the second one could not run anyway
    assert status(second) is JobStatus.QUEUED


def test_a_queued_job_is_cancelled_at_once(queued: Queued) -> None:
    job = cancel(queued())
    assert job.status is JobStatus.CANCELLED
    assert job.finished_at is not None
    assert claim(job) is None
    with pytest.raises(Conflict):
        cancel(job)


def test_a_running_job_is_told_to_stop_and_publishes_nothing_more(queued: Queued) -> None:
    job = claimed(queued())
    assert cancel(job).status is JobStatus.CANCELLING
    assert cancel(job).status is JobStatus.CANCELLING
    with transaction() as session:
        assert service.renew(session, job.id, job.fence) == "cancelling"
        assert service.standing(session, job.id, job.fence) == "cancelling"
    with transaction() as session, pytest.raises(service.FenceLost):
        service.fenced(session, job.id, job.fence)
    returned = give_back(job)
    assert returned is not None
    assert returned.status is JobStatus.CANCELLED


def test_what_an_attempt_reports_is_written_down_in_order(queued: Queued) -> None:
    job = claimed(queued())
    progress = {"phase": "train", "completed": 1, "total": 2, "unit": "epochs", "message": None}
    with transaction() as session:
        service.record(session, job.id, job.fence, [("progress", progress), ("note", {"name": "a", "value": 1})])
    with transaction() as session:
        service.fail(session, service.fenced(session, job.id, job.fence), "non_finite", "The loss became NaN.")
    with reading() as session:
        events = service.events_after(session, job.id, limit=10, after=2)
        row = session.get_one(Job, job.id)
    assert [(event.sequence, event.type) for event in events] == [(3, "progress"), (4, "note"), (5, "status")]
    assert events[-1].data["final"] is True
    assert row.progress == progress
    assert (row.status, row.status_reason, row.status_detail) == (
        JobStatus.FAILED,
        "non_finite",
        "The loss became NaN.",
    )
    assert [entry["status"] for entry in row.transitions] == ["queued", "running", "failed"]
    assert row.seconds is not None


def test_another_tenants_job_is_not_there(queued: Queued, tenant: Tenant) -> None:
    job = queued()
    with reading() as session:
        assert service.get(session, job.id, tenant_id=tenant.id).id == job.id
        with pytest.raises(NotFound):
            service.get(session, job.id, tenant_id="tn_other")


def test_starts_that_others_end_do_not_count_and_wait_longer_each_time(queued: Queued) -> None:
    job, pauses = queued(), list[float]()
    for _ in range(5):
        taken = claimed(job)
        with transaction() as session:
            back = service.give_back(session, taken.id, taken.fence, "storage_full", excused=True)
            assert back is not None
            assert back.status is JobStatus.QUEUED
            assert back.not_before is not None
            pauses.append((back.not_before - now(session)).total_seconds())
        if pauses[-1] > 5:  # the first two may be over before a busy machine comes to look
            assert claim(job) is None
            assert announced() == []  # nor is anybody told before its time
            with reading() as session:
                assert queries.waiting(session, 10) == []
        with transaction() as session:
            session.get_one(Job, job.id).not_before = None
    assert [round(pause) for pause in pauses] == [2, 4, 8, 16, 32]
    assert (taken.attempt, taken.excused) == (5, 4)


def test_a_pause_has_an_end_and_so_have_excuses(queued: Queued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_EXCUSED", 12)
    job = queued()
    for _ in range(12 + 3):
        taken = claimed(job)
        with transaction() as session:
            service.give_back(session, taken.id, taken.fence, "storage_full", excused=True)
            row = session.get_one(Job, job.id)
            assert row.not_before is None or row.not_before - now(session) <= service.LONGEST_PAUSE
            row.not_before = None
    assert (status(job), row.attempt, row.excused) == (JobStatus.LOST, 15, 12)


def test_a_stopped_worker_gives_its_job_to_the_next_at_once(queued: Queued) -> None:
    taken = claimed(queued())
    announced()
    with transaction() as session:
        service.give_back(session, taken.id, taken.fence, "worker_stopped", excused=True)
    assert announced() == [taken.id]
    assert claimed(taken).attempt == 2


def test_what_took_too_long_is_stopped_and_fails_with_the_limit(queued: Queued) -> None:
    taken = claimed(queued())
    with transaction() as session:
        service.time_out(session, taken.id, taken.fence, "It took longer than a week.")
    assert status(taken) is JobStatus.CANCELLING
    cancel(taken)  # somebody cancels it as well: it fails all the same
    give_back(taken)
    with reading() as session:
        row = session.get_one(Job, taken.id)
    assert (row.status, row.status_reason, row.status_detail) == (
        JobStatus.FAILED,
        "time_limit",
        "It took longer than a week.",
    )


def test_of_a_vanished_worker_the_seconds_count_until_it_was_last_heard_of(queued: Queued) -> None:
    taken = claimed(queued())
    with transaction() as session:
        row = session.get_one(Job, taken.id)
        row.started_at = now(session) - timedelta(seconds=1000)
        row.lease_until = now(session) - timedelta(seconds=400)  # renewed for the last time 430 s ago
    with transaction() as session:
        service.reap(session)
        assert 565 < (session.get_one(Job, taken.id).seconds or 0) < 575


def test_the_reaper_takes_back_what_the_dead_held_before_their_lease_ends(queued: Queued) -> None:
    gone, alive = queued(), queued()
    claim(gone, "w1")
    claim(alive, "w2")
    with transaction() as session:
        assert [(job.id, job.status_reason) for job in service.reap(session, ["w1"])] == [(gone.id, "worker_died")]
    assert status(alive) is JobStatus.RUNNING
