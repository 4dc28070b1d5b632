"""Webhooks on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.domain.lifecycle import DeliveryStatus
from app.webhooks.events import EVENTS


def _known(event: str) -> str:
    if event not in EVENTS:
        raise PydanticCustomError("unknown_event", "There is no such event; GET /webhooks/events lists them")
    return event


Event = Annotated[str, Field(max_length=64), AfterValidator(_known)]


class WebhookIn(BaseModel):
    """A webhook to be registered."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    url: Annotated[str, Field(pattern=r"^[!-~]{1,2000}$")]
    """On a host that the operator allows."""
    events: Annotated[list[Event], Field(min_length=1, max_length=len(EVENTS))]
    """E.g. `forget_request.completed`, or `forget_request.*` for all of them."""


class EventsOut(BaseModel):
    """All that a webhook can be told of."""

    data: list[str]


class WebhookOut(BaseModel):
    """A webhook; its secret is shown once, when it is made."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    url: str
    events: list[str]
    disabled_at: datetime | None
    disabled_reason: str | None
    """`gone`: its receiver answered 410."""
    created_at: datetime


class NewWebhookOut(WebhookOut):
    """The only answer that holds the secret."""

    secret: str


class DeliveryOut(BaseModel):
    """One message; its id is the `webhook-id` that the receiver sees, the same at each attempt."""

    model_config = ConfigDict(from_attributes=True, use_attribute_docstrings=True)

    id: str
    webhook_id: str
    event: str
    resource: str
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    answer: str | None
    """What came of the last attempt: `http_204`, `timeout`, `no_connection`, `host_not_allowed`."""
    created_at: datetime
