"""`/webhooks`: registered, tested, their deliveries looked at and sent again."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.keys.caller import Caller, requires
from app.tables import Webhook, WebhookDelivery
from app.web.dependencies import Paging, Reading, Transaction
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import id_pattern
from app.webhooks import service
from app.webhooks.events import EVENTS
from app.webhooks.schemas import DeliveryOut, EventsOut, NewWebhookOut, WebhookIn, WebhookOut

router = APIRouter(prefix="/webhooks", tags=["Webhooks"])

WebhookId = Annotated[str, Path(pattern=id_pattern("wh"))]
DeliveryId = Annotated[str, Path(pattern=id_pattern("msg"))]
Reader = Annotated[Caller, requires("webhooks:read")]
Writer = Annotated[Caller, requires("webhooks:write")]


@router.post("", status_code=201, responses=describe(409))
def register(wish: WebhookIn, session: Transaction, caller: Writer, response: Response) -> NewWebhookOut:
    """Register a webhook. Its secret, with which messages are signed, is in this answer and nowhere else."""
    webhook, secret = service.register(session, wish, tenant_id=caller.tenant_id, actor=caller.key_id)
    response.headers["Location"] = f"/webhooks/{webhook.id}"
    return NewWebhookOut(**WebhookOut.model_validate(webhook).model_dump(), secret=secret)


@router.get("")
def listing(session: Reading, caller: Reader, paging: Paging) -> Page[WebhookOut]:
    """The tenant's webhooks, newest first."""
    return service.listing(session, paging, tenant_id=caller.tenant_id)


@router.get("/events")
def events(_caller: Reader) -> EventsOut:
    """All that a webhook can be told of."""
    return EventsOut(data=sorted(EVENTS))


@router.get("/{webhook_id}", response_model=WebhookOut, responses=describe(404))
def get(webhook_id: WebhookId, session: Reading, caller: Reader) -> Webhook:
    """One webhook, without its secret."""
    return service.get(session, webhook_id, tenant_id=caller.tenant_id)


@router.delete("/{webhook_id}", status_code=204, responses=describe(404))
def remove(webhook_id: WebhookId, session: Transaction, caller: Writer) -> None:
    """Remove a webhook, and the log of its deliveries."""
    service.remove(session, service.get(session, webhook_id, tenant_id=caller.tenant_id), actor=caller.key_id)


@router.post("/{webhook_id}/test", status_code=202, response_model=DeliveryOut, responses=describe(404, 409))
def test(webhook_id: WebhookId, session: Transaction, caller: Writer) -> WebhookDelivery:
    """Have a message of type `webhook.test` sent."""
    return service.test(session, service.get(session, webhook_id, tenant_id=caller.tenant_id))


@router.get("/{webhook_id}/deliveries", responses=describe(404))
def deliveries(webhook_id: WebhookId, session: Reading, caller: Reader, paging: Paging) -> Page[DeliveryOut]:
    """What was sent and what waits, newest first."""
    return service.deliveries(session, service.get(session, webhook_id, tenant_id=caller.tenant_id), paging)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=DeliveryOut,
    responses=describe(404, 409),
)
def replay(webhook_id: WebhookId, delivery_id: DeliveryId, session: Transaction, caller: Writer) -> WebhookDelivery:
    """Have a message sent again, with the same id."""
    webhook = service.get(session, webhook_id, tenant_id=caller.tenant_id)
    return service.replay(session, webhook, delivery_id)
