"""The rows of webhooks, and of the messages that are sent to them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.domain.lifecycle import DeliveryStatus
from app.tables.base import Base, EnumText, Owned


class Webhook(Owned, Base):
    """Where to, and about what. Its secret is derived from the service's own and stands nowhere."""

    __tablename__ = "webhooks"

    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[Any]]
    """`Event`: actions of the audit log, or all of a resource."""
    seen: Mapped[int]
    """The number of the last entry of the tenant's audit log that it has been told of, or did not want to be."""
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(100))


class WebhookDelivery(Owned, Base):
    """One message to one webhook, sent until it is taken; its id is what the receiver recognises it by."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("ix_webhook_deliveries_status_next_attempt_at", "status", "next_attempt_at"),)

    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id"), index=True)
    event: Mapped[str] = mapped_column(String(64))
    resource: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    """What is sent, byte for byte the same each time."""
    status: Mapped[DeliveryStatus] = mapped_column(EnumText(DeliveryStatus), default=DeliveryStatus.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    answer: Mapped[str | None] = mapped_column(String(32))
    """What came of the last attempt: `http_204`, `timeout`, `no_connection`, `host_not_allowed`."""
