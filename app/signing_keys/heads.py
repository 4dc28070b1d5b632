"""Signed heads of the audit logs: a chain that was rewritten as a whole no longer runs through them.

Stands above the audit log, because the ring of signing keys writes into that.
"""

import logging
from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.db import now
from app.core.ids import new_id
from app.core.signing import BadSignature, sign, signer_of
from app.core.signing import verify as verify_envelope
from app.signing_keys import service
from app.tables import AuditLogEntry, AuditLogHead, SigningKey, Tenant

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://unlearnd.dev/audit-log-head/v1"

log = logging.getLogger(__name__)


def verify(session: Session, tenant_id: str) -> int | None:
    """The number of the first entry that is changed, missing or misplaced, or that a head contradicts; None if none."""
    broken = audit_log.verify(session, tenant_id)
    contradicted = (head.number for head in _heads(session, tenant_id) if not _holds(session, head))
    found = [number for number in (broken, next(contradicted, None)) if number is not None]
    return min(found, default=None)


def sign_head(session: Session, tenant_id: str) -> AuditLogHead | None:
    """A signed head of the chain as it stands; None if it has not grown since the last one."""
    private = service.in_force(session)
    tenant = session.get_one(Tenant, tenant_id, with_for_update=True)
    newest = session.scalar(
        select(AuditLogHead.number).where(AuditLogHead.tenant_id == tenant_id).order_by(AuditLogHead.number.desc())
    )
    if tenant.audit_log_length == (newest or 0):
        return None
    head = AuditLogHead(
        id=new_id("alh"),
        tenant_id=tenant_id,
        number=tenant.audit_log_length,
        digest=tenant.audit_log_head,
        created_at=now(session),
    )
    head.envelope = sign(_statement(head), private)
    session.add(head)
    session.flush()
    return head


def look_at_all(session: Session) -> dict[str, int | None]:
    """Tenant to the number of the first entry that does not hold, or None. Only looks: it may take a while."""
    return {tenant: verify(session, tenant) for tenant in session.scalars(select(Tenant.id).order_by(Tenant.id)).all()}


def settle(session: Session, found: Mapping[str, int | None]) -> None:
    """Sign the heads of the logs that hold; raise the alarm about the others, and write it down once."""
    for tenant_id, number in sorted(found.items()):
        if number is None:
            sign_head(session, tenant_id)
            continue
        log.critical("the audit log of %s does not hold from entry %d on", tenant_id, number)
        if not _alarmed(session, tenant_id, number):
            data = {"number": number}
            audit_log.record(
                session, tenant_id=tenant_id, actor="worker", action="audit_log.broken", resource=tenant_id, data=data
            )


def _heads(session: Session, tenant_id: str) -> list[AuditLogHead]:
    statement = select(AuditLogHead).where(AuditLogHead.tenant_id == tenant_id).order_by(AuditLogHead.number)
    return list(session.scalars(statement))


def _holds(session: Session, head: AuditLogHead) -> bool:
    """Signed by a key of the ring, and the chain runs through it."""
    digest = session.scalar(
        select(AuditLogEntry.digest).where(
            AuditLogEntry.tenant_id == head.tenant_id, AuditLogEntry.number == head.number
        )
    )
    try:
        key = session.get(SigningKey, signer_of(head.envelope))
        signed = None if key is None else verify_envelope(head.envelope, key.public_key)
    except BadSignature:
        return False
    return digest == head.digest and signed == _statement(head)


def _statement(head: AuditLogHead) -> dict[str, object]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": head.tenant_id, "digest": {"sha256": head.digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {"number": head.number, "at": head.created_at.isoformat(timespec="microseconds")},
    }


def _alarmed(session: Session, tenant_id: str, number: int) -> bool:
    said = select(AuditLogEntry).where(AuditLogEntry.tenant_id == tenant_id, AuditLogEntry.action == "audit_log.broken")
    return any(entry.data.get("number") == number for entry in session.scalars(said))
