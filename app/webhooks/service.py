"""Registering webhooks; collecting what they want to hear of; sending it until it is taken.

The audit log is the outbox: an entry stands there if and only if what it tells of was committed, and its numbers have
no gaps. Each webhook remembers up to where it has been told. A message is sent outside of any transaction, by whoever
has put off its next attempt; a sender that dies is followed by another when that time has come, so that a message may
come twice, with the same id, and is never lost.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.db import now, reading, transaction
from app.core.errors import Conflict, NotFound
from app.core.ids import new_id
from app.domain.lifecycle import DeliveryStatus, check_arrow
from app.tables import AuditLogEntry, Tenant, Webhook, WebhookDelivery
from app.tables.base import utcnow
from app.web.pages import Page, Paging, fetch
from app.webhooks import sending, signature
from app.webhooks.events import TEST, wanted
from app.webhooks.schemas import DeliveryOut, WebhookIn, WebhookOut

AT_MOST = 20
"""Webhooks of a tenant."""
ENTRIES, MESSAGES, SENDERS = 500, 20, 8
"""Looked at, sent and under way at once."""
UNDER_WAY = timedelta(minutes=2)
"""For so long nobody else sends a message that is being sent; longer than all of one round can take."""
BACKOFF_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Between attempts, as Standard Webhooks has it: ten attempts in somewhat more than three days."""

Post = Callable[[str, bytes, dict[str, str]], str]


class Message(NamedTuple):
    """What is sent, and where."""

    id: str
    webhook_id: str
    url: str
    body: bytes


def register(session: Session, wish: WebhookIn, *, tenant_id: str, actor: str) -> tuple[Webhook, str]:
    """A webhook, which is told of what happens from now on; and its secret."""
    sending.check_url(wish.url)
    # Locked, as by every entry of the audit log: what is committed later has a higher number.
    tenant = session.get_one(Tenant, tenant_id, with_for_update={"key_share": True}, populate_existing=True)
    count = session.scalar(select(func.count()).select_from(Webhook).where(Webhook.tenant_id == tenant_id)) or 0
    if count >= AT_MOST:
        raise Conflict(f"There are {count} webhooks; delete one first.", code="too_many_webhooks")
    webhook = Webhook(
        id=new_id("wh"), tenant_id=tenant_id, url=wish.url, events=list(wish.events), seen=tenant.audit_log_length + 1
    )
    session.add(webhook)
    session.flush()
    _write_down(session, webhook, "created", actor)
    return webhook, signature.secret_of(webhook.id)


def get(session: Session, webhook_id: str, *, tenant_id: str) -> Webhook:
    """One webhook of the tenant."""
    webhook = session.scalar(select(Webhook).where(Webhook.id == webhook_id, Webhook.tenant_id == tenant_id))
    if webhook is None:
        raise NotFound("There is no such webhook.", code="no_such_webhook")
    return webhook


def listing(session: Session, paging: Paging, *, tenant_id: str) -> Page[WebhookOut]:
    """The tenant's webhooks."""
    statement = select(Webhook).where(Webhook.tenant_id == tenant_id)
    return fetch(session, statement, Webhook.id, paging, WebhookOut.model_validate)


def remove(session: Session, webhook: Webhook, *, actor: str) -> None:
    """Nothing more is sent there; what was sent is forgotten."""
    session.execute(delete(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id))
    session.delete(webhook)
    session.flush()
    _write_down(session, webhook, "deleted", actor)


def deliveries(session: Session, webhook: Webhook, paging: Paging) -> Page[DeliveryOut]:
    """What was sent, and what waits."""
    statement = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    return fetch(session, statement, WebhookDelivery.id, paging, DeliveryOut.model_validate)


def test(session: Session, webhook: Webhook) -> WebhookDelivery:
    """A message about nothing, to see whether it comes."""
    _check_enabled(webhook)
    return _enqueue(session, webhook, TEST, webhook.id, now(session))


def replay(session: Session, webhook: Webhook, delivery_id: str) -> WebhookDelivery:
    """Send a message again, with the same id, whatever came of it."""
    _check_enabled(webhook)
    query = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id, WebhookDelivery.webhook_id == webhook.id)
    delivery = session.scalar(query.with_for_update().execution_options(populate_existing=True))
    if delivery is None:
        raise NotFound("This webhook has no such delivery.", code="no_such_delivery")
    if delivery.status is not DeliveryStatus.PENDING:
        _transition(delivery, DeliveryStatus.PENDING)
    delivery.attempts, delivery.next_attempt_at = 0, now(session)
    session.flush()
    return delivery


# What the scheduler does.


def deliver_due(post: Post = sending.post) -> int:
    """Collect what has happened since, send what is due; how many messages were sent. To be done every few seconds."""
    with reading() as session:
        waits = _anything_new(session) or _anything_due(session)
    if not waits:
        return 0
    with transaction() as session:
        collect(session)
    with transaction() as session:
        messages = _take(session)
    with ThreadPoolExecutor(SENDERS) as senders:
        answers = list(senders.map(lambda message: _send(message, post), messages))
    for message, answer in zip(messages, answers, strict=True):
        with transaction() as session:
            _settle(session, message, answer)
    return len(messages)


def collect(session: Session) -> None:
    """Make messages of the entries that the audit log has got since."""
    query = select(Webhook).where(Webhook.disabled_at.is_(None)).order_by(Webhook.id)
    for webhook in session.scalars(query.with_for_update(skip_locked=True)).all():
        fresh = select(AuditLogEntry).where(
            AuditLogEntry.tenant_id == webhook.tenant_id, AuditLogEntry.number > webhook.seen
        )
        for entry in session.scalars(fresh.order_by(AuditLogEntry.number).limit(ENTRIES)).all():
            webhook.seen = entry.number
            if wanted(entry.action, webhook.events):
                _enqueue(session, webhook, entry.action, entry.resource, entry.at)
    session.flush()


def _anything_new(session: Session) -> bool:
    fresh = exists().where(AuditLogEntry.tenant_id == Webhook.tenant_id, AuditLogEntry.number > Webhook.seen)
    query = select(Webhook.id).where(Webhook.disabled_at.is_(None), fresh)
    return session.scalars(query.limit(1)).first() is not None


def _anything_due(session: Session) -> bool:
    query = select(WebhookDelivery.id).join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
    return session.scalars(query.where(*_due(now(session))).limit(1)).first() is not None


def _due(at: datetime) -> Sequence[ColumnElement[bool]]:
    """Of a delivery beside its webhook: what waits for one that was disabled is not."""
    pending = WebhookDelivery.status == DeliveryStatus.PENDING
    return pending, WebhookDelivery.next_attempt_at <= at, Webhook.disabled_at.is_(None)


def _enqueue(session: Session, webhook: Webhook, event: str, resource: str, at: datetime) -> WebhookDelivery:
    body = {"type": event, "timestamp": at.isoformat(), "data": {"id": resource}}
    delivery = WebhookDelivery(
        id=new_id("msg"),
        tenant_id=webhook.tenant_id,
        webhook_id=webhook.id,
        event=event,
        resource=resource,
        body=json.dumps(body, separators=(",", ":")),
        status=DeliveryStatus.PENDING,
        attempts=0,
        next_attempt_at=now(session),
    )
    session.add(delivery)
    session.flush()
    return delivery


def _take(session: Session) -> Sequence[Message]:
    """The messages that are due, oldest first; nobody else takes them for a while."""
    at = now(session)
    query = (
        select(WebhookDelivery, Webhook.url)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(*_due(at))
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(MESSAGES)
        .with_for_update(skip_locked=True, of=WebhookDelivery)
    )
    messages = []
    for delivery, url in session.execute(query).all():
        delivery.attempts += 1
        delivery.next_attempt_at = at + UNDER_WAY
        messages.append(Message(delivery.id, delivery.webhook_id, url, delivery.body.encode()))
    return messages


def _send(message: Message, post: Post) -> str:
    secret, timestamp = signature.secret_of(message.webhook_id), int(utcnow().timestamp())
    return post(message.url, message.body, signature.headers(secret, message.id, timestamp, message.body))


def _settle(session: Session, message: Message, answer: str) -> None:
    """Taken, gone, to be tried again, or given up."""
    query = select(WebhookDelivery).where(WebhookDelivery.id == message.id).with_for_update()
    delivery = session.scalar(query)
    if delivery is None or delivery.status is not DeliveryStatus.PENDING:
        return  # removed, or settled by somebody who was faster
    delivery.answer = answer
    at = now(session)
    if answer.startswith("http_2"):
        _transition(delivery, DeliveryStatus.DELIVERED)
        delivery.delivered_at, delivery.next_attempt_at = at, None
    elif answer == "http_410" or delivery.attempts > len(BACKOFF_SECONDS):
        _transition(delivery, DeliveryStatus.FAILED)
        delivery.next_attempt_at = None
    else:
        delivery.next_attempt_at = at + timedelta(seconds=BACKOFF_SECONDS[delivery.attempts - 1])
    if answer == "http_410":
        webhook = session.get_one(Webhook, message.webhook_id, with_for_update=True)
        if webhook.disabled_at is None:
            webhook.disabled_at, webhook.disabled_reason = at, "gone"
            session.flush()
            _write_down(session, webhook, "disabled", "worker")


def _transition(delivery: WebhookDelivery, status: DeliveryStatus) -> None:
    check_arrow(delivery.status, status)
    delivery.status = status


def _check_enabled(webhook: Webhook) -> None:
    if webhook.disabled_at is not None:
        raise Conflict(
            f"The webhook was disabled ({webhook.disabled_reason}); register it anew.", code="webhook_disabled"
        )


def _write_down(session: Session, webhook: Webhook, what: str, actor: str) -> None:
    audit_log.record(
        session,
        tenant_id=webhook.tenant_id,
        actor=actor,
        action=f"webhook.{what}",
        resource=webhook.id,
        data={"events": webhook.events},
    )
