"""Idempotency keys: a repeated request gets the answer of the first, stored in the transaction of what it made."""

import hashlib
import hmac
import json
from collections.abc import Callable

from fastapi import Response
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.errors import Conflict, Invalid
from app.core.ids import new_id
from app.core.settings import get_settings
from app.tables import IdempotencyRecord


def once(
    session: Session,
    key: str | None,
    *,
    tenant_id: str,
    route: str,
    wish: BaseModel,
    act: Callable[[], tuple[BaseModel, dict[str, str]]],
    status: int,
) -> Response:
    """Do it and answer, or answer as before. `act` gives the body and the headers.

    Raises:
        Invalid: the key was used for another body.
        Conflict: the first request with this key is not finished.
    """
    digest = _digest(wish)
    record = _earlier(session, key, tenant_id, route) if key else None
    if record is not None:
        return _replay(record, digest)
    if key is not None:
        record = _claim(session, key, tenant_id, route, digest)
    body, headers = act()
    if record is not None:
        record.status, record.headers, record.body = status, headers, body.model_dump(mode="json")
        session.flush()
    return Response(body.model_dump_json(), status, headers, "application/json")


def _digest(wish: BaseModel) -> str:
    """Keyed: whoever has the database but not the key cannot try whose ids a body held."""
    secret = get_settings().secret_key.get_secret_value()
    return hmac.new(secret.encode(), b"idempotency\0" + wish.model_dump_json().encode(), hashlib.sha256).hexdigest()


def _earlier(session: Session, key: str, tenant_id: str, route: str) -> IdempotencyRecord | None:
    return session.scalar(
        select(IdempotencyRecord).where(
            IdempotencyRecord.tenant_id == tenant_id, IdempotencyRecord.route == route, IdempotencyRecord.key == key
        )
    )


def _replay(record: IdempotencyRecord, digest: str) -> Response:
    if record.request_sha256 != digest:
        raise Invalid("This Idempotency-Key was used for another body.", code="idempotency_key_reused")
    content = json.dumps(record.body)
    return Response(content, record.status, {**record.headers, "Idempotent-Replayed": "true"}, "application/json")


def _claim(session: Session, key: str, tenant_id: str, route: str, digest: str) -> IdempotencyRecord:
    record = IdempotencyRecord(
        id=new_id("idem"),
        tenant_id=tenant_id,
        route=route,
        key=key,
        request_sha256=digest,
        status=0,
        headers={},
        body={},
    )
    try:
        with session.begin_nested():
            session.add(record)
    except IntegrityError:
        raise Conflict(
            "A request with this Idempotency-Key came in just now; ask again.",
            code="idempotency_in_progress",
            retryable=True,
        ) from None
    return record
