import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import select, update

from app.core.db import reading, transaction
from app.core.settings import get_settings
from app.domain.lifecycle import DeliveryStatus, JobStatus, RequestStatus
from app.tables import AuditLogEntry, Webhook, WebhookDelivery
from app.tables.base import utcnow
from app.webhooks import events, sending, service, signature
from tests.app.web.rig import Rig, problem

URL = "https://hooks.example.org/unlearnd"
Sent = tuple[str, bytes, dict[str, str]]


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    rig = "api" if "api" in request.fixturenames else "lone"
    request.getfixturevalue(rig)
    allow(monkeypatch, "hooks.example.org")


def allow(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    monkeypatch.setenv("UNLEARN_WEBHOOK_HOSTS", json.dumps(hosts))
    get_settings.cache_clear()


class Receiver:
    """Takes what is sent, and answers as it is told."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.sent: list[Sent] = []

    def __call__(self, url: str, body: bytes, headers: dict[str, str]) -> str:
        self.sent.append((url, body, headers))
        return self.answers.pop(0) if self.answers else "http_204"


def register(rig: Rig, *names: str, url: str = URL) -> dict[str, Any]:
    answer = rig.post("/webhooks", json={"url": url, "events": list(names)})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def delivery(rig: Rig, webhook: dict[str, Any]) -> dict[str, Any]:
    (found,) = rig.get(f"/webhooks/{webhook['id']}/deliveries").json()["data"]
    return dict(found)


def later() -> None:
    """As if the time of the next attempt had come."""
    with transaction() as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=utcnow() - timedelta(seconds=1)))


def test_what_happens_from_now_on_is_told_once_thin_and_signed(api: Rig) -> None:
    api.dataset()
    webhook = register(api, "model.*", "alias.pointed")
    assert webhook["secret"] == signature.secret_of(webhook["id"])
    assert "secret" not in api.get(f"/webhooks/{webhook['id']}").json()
    api.model()
    version = api.version()
    api.put("/models/net/aliases/deployed", json={"version": version})
    policy = api.get("/models/net/policy")
    api.put("/models/net/policy", json={"approval": "one"}, headers={"If-Match": policy.headers["etag"]})
    receiver = Receiver()

    assert service.deliver_due(receiver) == 3

    told = [(json.loads(body)["type"], json.loads(body)["data"]) for _, body, _ in receiver.sent]
    with reading() as session:
        written = session.execute(select(AuditLogEntry.action, AuditLogEntry.resource)).all()
    assert sorted(name for name, _ in told) == ["alias.pointed", "model.policy", "model.registered"]
    assert all((name, data["id"]) in [tuple(row) for row in written] for name, data in told)
    for url, body, headers in receiver.sent:
        assert url == URL
        assert set(json.loads(body)) == {"type", "timestamp", "data"}
        stamp = int(headers["webhook-timestamp"])
        assert headers == signature.headers(webhook["secret"], headers["webhook-id"], stamp, body)
    assert service.deliver_due(receiver) == 0
    log = api.get(f"/webhooks/{webhook['id']}/deliveries").json()["data"]
    assert {(row["status"], row["answer"], row["attempts"]) for row in log} == {("delivered", "http_204", 1)}
    assert {row["id"] for row in log} == {headers["webhook-id"] for _, _, headers in receiver.sent}


def test_what_is_not_taken_comes_again_later_and_later_until_it_is_given_up(lone: Rig) -> None:
    webhook = register(lone, "job.*")
    assert lone.post(f"/webhooks/{webhook['id']}/test").status_code == 202
    refusing, waits = Receiver(*["http_500", "timeout", "no_connection", *["http_503"] * 20]), []
    for _ in range(10):
        assert service.deliver_due(refusing) == 1
        found = delivery(lone, webhook)
        if found["next_attempt_at"] is not None:
            with reading() as session:
                row = session.scalars(select(WebhookDelivery)).one()
                waits.append((row.next_attempt_at or utcnow()) > utcnow() + timedelta(seconds=1))
            assert service.deliver_due(refusing) == 0  # not before its time
            later()
    assert (found["status"], found["attempts"], found["answer"]) == ("failed", 10, "http_503")
    assert waits == [True] * 9
    assert list(service.BACKOFF_SECONDS) == sorted(service.BACKOFF_SECONDS)
    assert len({(body, headers["webhook-id"]) for _, body, headers in refusing.sent}) == 1
    assert service.deliver_due(refusing) == 0

    again = lone.post(f"/webhooks/{webhook['id']}/deliveries/{found['id']}/replay")
    assert (again.status_code, again.json()["status"], again.json()["attempts"]) == (202, "pending", 0)
    taking = Receiver()
    assert service.deliver_due(taking) == 1
    assert taking.sent[0][2]["webhook-id"] == found["id"]
    assert delivery(lone, webhook)["status"] == "delivered"


def test_a_sender_that_dies_is_followed_by_another(lone: Rig) -> None:
    webhook = register(lone, "job.*")
    lone.post(f"/webhooks/{webhook['id']}/test")

    def die(_url: str, _body: bytes, _headers: dict[str, str]) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.deliver_due(die)
    receiver = Receiver()
    assert service.deliver_due(receiver) == 0  # it may still be under way
    later()
    assert service.deliver_due(receiver) == 1
    assert delivery(lone, webhook)["attempts"] == 2


def test_who_answers_gone_hears_no_more(lone: Rig) -> None:
    webhook = register(lone, "job.*")
    path = f"/webhooks/{webhook['id']}"
    lone.post(f"{path}/test")
    service.deliver_due(Receiver("http_410"))
    assert delivery(lone, webhook)["status"] == "failed"
    assert lone.get(path).json()["disabled_reason"] == "gone"
    problem(lone.post(f"{path}/test"), 409, "webhook_disabled")
    problem(lone.post(f"{path}/deliveries/{delivery(lone, webhook)['id']}/replay"), 409, "webhook_disabled")
    lone.dataset()
    assert service.deliver_due(Receiver()) == 0
    assert lone.call("DELETE", path).status_code == 204
    assert lone.get("/webhooks").json()["data"] == []
    with reading() as session:
        named = select(AuditLogEntry.action).where(AuditLogEntry.resource == webhook["id"])
        assert list(session.scalars(named.order_by(AuditLogEntry.number))) == [
            "webhook.created",
            "webhook.disabled",
            "webhook.deleted",
        ]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://elsewhere.example.org/x", "url_not_allowed"),
        ("http://127.0.0.1/x", "url_not_allowed"),
        ("http://[::1]/x", "url_not_allowed"),
        ("https://hooks.example.org:8443/x", "url_not_allowed"),
        ("https://hooks.example.org.evil.net/x", "url_not_allowed"),
        ("https://hooks.example.org@evil.net/x", "url_not_allowed"),
        ("https://me:secret@hooks.example.org/x", "url_not_allowed"),
        ("ftp://hooks.example.org/x", "url_not_allowed"),
        ("file:///etc/passwd", "url_not_allowed"),
        ("hooks.example.org", "url_not_allowed"),
        ("https://hooks.example.org:99999/", "url_not_allowed"),
        ("https://hooks.example.org/\n", "invalid_request"),
    ],
)
def test_messages_go_only_to_hosts_that_the_operator_allows(lone: Rig, url: str, code: str) -> None:
    problem(lone.post("/webhooks", json={"url": url, "events": ["job.*"]}), 422, code, "/url")
    assert lone.count(Webhook) == 0


def test_a_host_that_is_no_longer_allowed_gets_nothing_more(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook = register(lone, "job.*")
    lone.post(f"/webhooks/{webhook['id']}/test")
    allow(monkeypatch)
    assert service.deliver_due() == 1
    assert delivery(lone, webhook)["answer"] == "host_not_allowed"


def test_events_that_do_not_exist_are_refused_and_all_that_do_are_listed(lone: Rig) -> None:
    problem(lone.post("/webhooks", json={"url": URL, "events": ["job.done"]}), 422, "invalid_request", "/events/0")
    problem(lone.post("/webhooks", json={"url": URL, "events": []}), 422, "invalid_request", "/events")
    listed = lone.get("/webhooks/events").json()["data"]
    assert {f"forget_request.{status}" for status in RequestStatus} <= set(listed)
    assert {f"job.{status}" for status in JobStatus} | {"job.*", "audit_log.broken"} <= set(listed)
    assert all(events.wanted(event, [event]) for event in listed if not event.endswith("*"))
    assert not events.wanted("job.running", ["job.failed", "forget_request.*"])


def test_there_are_at_most_twenty_and_nobody_sees_anothers(lone: Rig) -> None:
    made = [register(lone, "job.*") for _ in range(service.AT_MOST)]
    problem(lone.post("/webhooks", json={"url": URL, "events": ["job.*"]}), 409, "too_many_webhooks")
    lone.post(f"/webhooks/{made[0]['id']}/test")
    other = lone.other()
    path = f"/webhooks/{made[0]['id']}"
    for answer in (other.get(path), other.call("DELETE", path), other.post(f"{path}/test")):
        problem(answer, 404, "no_such_webhook")
    problem(lone.post(f"{path}/deliveries/msg_{'0' * 32}/replay"), 404, "no_such_delivery")
    theirs = register(other, "job.*")
    lone.dataset()
    service.deliver_due(Receiver())
    assert other.get(f"/webhooks/{theirs['id']}/deliveries").json()["data"] == []


@contextmanager
def listening(status: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A real receiver on this machine; where it is, and what came."""
    came: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "settled"), [(204, DeliveryStatus.DELIVERED), (302, DeliveryStatus.PENDING)])
def test_a_message_goes_over_http_and_no_redirect_is_followed(
    lone: Rig, monkeypatch: pytest.MonkeyPatch, status: int, settled: DeliveryStatus
) -> None:
    with listening(status) as (place, came):
        allow(monkeypatch, place)
        webhook = register(lone, "job.*", url=f"http://{place}/hook")
        lone.post(f"/webhooks/{webhook['id']}/test")
        assert service.deliver_due() == 1
    ((headers, body),) = came
    signed = signature.headers(webhook["secret"], headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == signed["webhook-signature"]
    assert json.loads(body)["data"] == {"id": webhook["id"]}
    assert (delivery(lone, webhook)["status"], delivery(lone, webhook)["answer"]) == (settled, f"http_{status}")
    assert sending.post(f"http://{place}/hook", b"{}", {}) == "no_connection"  # it listens no more
