"""A deadline that comes near is brought to mind, once for each number of days."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app.core.db import reading, transaction
from app.domain.lifecycle import RequestStatus
from app.forget_requests import deadlines
from app.tables import AuditLogEntry, ForgetRequest
from tests.app.forget_requests.test_forget_requests import submit
from tests.app.web.rig import Rig

DAY = timedelta(days=1)


def notices_at(at: datetime, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(deadlines, "now", lambda _: at)
    with transaction() as session:
        return [notice.days for notice in deadlines.notify(session)]


def test_each_notice_is_given_once_and_a_new_deadline_has_its_own(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    api.deployed()
    request_id = submit(api)["id"]
    with reading() as session:
        due = session.get_one(ForgetRequest, request_id).due_at
    left = (20, 14, 13, 8, 7, 2.5, 2, 1, -1)
    assert [notices_at(due - days * DAY, monkeypatch) for days in left] == [[], [14], [], [], [7], [], [2], [], []]
    with reading() as session:
        said = session.scalars(select(AuditLogEntry).where(AuditLogEntry.action == "forget_request.due_soon")).all()
        assert [entry.data["days"] for entry in said] == [14, 7, 2]
        assert {entry.resource for entry in said} == {request_id}
    with transaction() as session:
        session.get_one(ForgetRequest, request_id).due_at = due + 60 * DAY
    assert notices_at(due + 55 * DAY, monkeypatch) == [7]  # the schedule was late: only what is true now


def test_what_is_over_is_not_brought_to_mind(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lone.deployed()
    request_id = submit(lone)["id"]
    with transaction() as session:
        request = session.get_one(ForgetRequest, request_id)
        request.status = RequestStatus.CANCELLED
        due = request.due_at
    assert notices_at(due - DAY, monkeypatch) == []
