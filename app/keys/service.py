"""Making, knowing and revoking API keys."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.errors import Forbidden, NotFound, invalid_field
from app.core.ids import new_id
from app.keys import secrets
from app.keys.schemas import ApiKeyOut
from app.keys.scopes import Scope, covers
from app.tables import ApiKey
from app.tables.base import utcnow
from app.web.pages import Page, Paging, fetch

USE_RESOLUTION = timedelta(minutes=1)
_OLDEST = datetime(2000, 1, 1, tzinfo=UTC)
_NEWEST = datetime(9000, 1, 1, tzinfo=UTC)


def create(
    session: Session,
    *,
    tenant_id: str,
    name: str,
    scopes: Collection[str],
    expires_at: datetime | None = None,
    actor: str = "operator",
    held: frozenset[Scope] = frozenset({Scope.ALL}),
) -> tuple[ApiKey, str]:
    """Make a key; nobody gives away a scope that they do not hold.

    Returns:
        The row, and the text of the key, which is stored nowhere.
    """
    wanted = sorted({Scope(scope) for scope in scopes})
    if not all(covers(held, scope) for scope in wanted):
        raise Forbidden("A key can give only scopes that it has itself.", code="scope_not_held")
    if expires_at is not None and not _OLDEST < expires_at < _NEWEST:
        raise invalid_field("/expires_at", "The time is out of range.")
    plaintext = secrets.new_key()
    key = ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        name=name,
        digest=secrets.digest(plaintext),
        scopes=[scope.value for scope in wanted],
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    _record(session, key, actor, "api_key.created", {"scopes": key.scopes})
    return key, plaintext


def authenticate(session: Session, plaintext: str) -> ApiKey | None:
    """The key of this text, if it is one and is in force."""
    if not secrets.is_wellformed(plaintext):
        return None
    key = session.scalar(select(ApiKey).where(ApiKey.digest == secrets.digest(plaintext)))
    if key is None or key.revoked_at is not None:
        return None
    return key if key.expires_at is None or key.expires_at > utcnow() else None


def is_stale(key: ApiKey) -> bool:
    """Whether its last use is worth writing down again: at most once a minute."""
    return key.last_used_at is None or utcnow() - key.last_used_at >= USE_RESOLUTION


def touch(session: Session, key_id: str) -> None:
    """Write down that it was used now."""
    session.get_one(ApiKey, key_id).last_used_at = utcnow()


def get(session: Session, key_id: str, *, tenant_id: str) -> ApiKey:
    """One key of the tenant."""
    key = session.scalar(select(ApiKey).where(ApiKey.id == key_id, ApiKey.tenant_id == tenant_id))
    if key is None:
        raise NotFound("There is no such API key.", code="no_such_api_key")
    return key


def listing(session: Session, paging: Paging, *, tenant_id: str) -> Page[ApiKeyOut]:
    """The tenant's keys, revoked ones included."""
    statement = select(ApiKey).where(ApiKey.tenant_id == tenant_id)
    return fetch(session, statement, ApiKey.id, paging, ApiKeyOut.model_validate)


def revoke(session: Session, key_id: str, *, tenant_id: str, actor: str) -> None:
    """From now on it opens nothing; a second time changes nothing."""
    key = get(session, key_id, tenant_id=tenant_id)
    if key.revoked_at is None:
        key.revoked_at = utcnow()
        _record(session, key, actor, "api_key.revoked", {})


def _record(session: Session, key: ApiKey, actor: str, action: str, data: dict[str, object]) -> None:
    audit_log.record(session, tenant_id=key.tenant_id, actor=actor, action=action, resource=key.id, data=data)
