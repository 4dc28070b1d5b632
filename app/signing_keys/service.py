"""The ring of signing keys: the newest signs, older ones are believed until they are revoked.

The private key in force stands in the settings. Its public half is written down when it is first seen, and whichever
was active until then retires with an overlap, because other processes may still sign with it.
"""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.db import now
from app.core.errors import Conflict, NotFound
from app.core.settings import read_settings
from app.core.signing import key_id, public_key_of
from app.signing_keys.schemas import KeyState, SigningKeyOut, SigningKeysOut
from app.tables import SigningKey, Tenant

OVERLAP = timedelta(days=7)


def in_force(session: Session) -> str:
    """The private key to sign with now; written down if it is new.

    Raises:
        Conflict: it was revoked, or retired too long ago.
    """
    private = read_settings().signing_key.get_secret_value()  # anew: `unlearn keys rotate` may have changed the file
    key = enrol(session, public_key_of(private))
    if key.revoked_at is not None:
        raise Conflict(
            "The signing key in the settings was revoked: rotate it (`unlearn keys rotate`).",
            code="signing_key_revoked",
        )
    if key.not_after is not None and key.not_after < now(session):
        raise Conflict(
            "The signing key in the settings was replaced: restart this process with the new one.",
            code="signing_key_retired",
        )
    return private


def enrol(session: Session, public_key: str, *, overlap: timedelta = OVERLAP, actor: str = "operator") -> SigningKey:
    """The row of this key; if it is new, it becomes the active one and the one before retires."""
    known = session.get(SigningKey, key_id(public_key))
    if known is not None:
        return known
    at = now(session)
    for other in session.scalars(select(SigningKey).where(SigningKey.retired_at.is_(None)).with_for_update()):
        other.retired_at, other.not_after = at, at + overlap
        _record(session, other, actor, "retired", {"not_after": other.not_after.isoformat()})
    key = SigningKey(id=key_id(public_key), public_key=public_key, not_before=at)
    session.add(key)
    session.flush()
    _record(session, key, actor, "active", {})
    return key


def revoke(session: Session, key: str, *, reason: str, actor: str = "operator") -> SigningKey:
    """Believe nothing that this key signed; a second time changes nothing.

    Args:
        session: the caller's.
        key: its id, or the unambiguous beginning of it.
        reason: shown to everybody who verifies.
        actor: who says so.

    Raises:
        NotFound: no such key, or more than one.
        Conflict: it is the one that signs.
    """
    found = session.scalars(select(SigningKey).where(SigningKey.id.startswith(key, autoescape=True))).all()
    if len(found) != 1:
        raise NotFound("There is no such signing key, or more than one.", code="no_such_signing_key")
    row = found[0]
    if row.retired_at is None:
        raise Conflict("This key signs: rotate first, then revoke it.", code="signing_key_active")
    if row.revoked_at is None:
        row.revoked_at, row.revocation_reason = now(session), reason
        _record(session, row, actor, "revoked", {"reason": reason})
    return row


def listing(session: Session) -> SigningKeysOut:
    """All of them, newest first."""
    rows = session.scalars(select(SigningKey).order_by(SigningKey.not_before.desc(), SigningKey.id))
    return SigningKeysOut(keys=[describe(row) for row in rows])


def describe(row: SigningKey) -> SigningKeyOut:
    """A key as the wire has it."""
    return SigningKeyOut(
        key_id=row.id,
        public_key=row.public_key,
        state=_state(row.retired_at, row.revoked_at),
        not_before=row.not_before,
        not_after=row.not_after,
        revoked_at=row.revoked_at,
        revocation_reason=row.revocation_reason,
    )


def _state(retired_at: datetime | None, revoked_at: datetime | None) -> KeyState:
    if revoked_at is not None:
        return "revoked"
    return "active" if retired_at is None else "retired"


def _record(session: Session, key: SigningKey, actor: str, state: str, data: dict[str, object]) -> None:
    # The ring belongs to all tenants: each finds it in its own log. Locked in one order, so that none waits for ever.
    for tenant_id in session.scalars(select(Tenant.id).order_by(Tenant.id)):
        action = f"signing_key.{state}"
        audit_log.record(session, tenant_id=tenant_id, actor=actor, action=action, resource=key.id, data=dict(data))
