"""References to persons in the audit log, which become meaningless when their key is destroyed.

    reference = HMAC-SHA-256(key of the request, subject id)

The key is random, one for each request, and in no entry: references to one person in two requests differ.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.errors import NotFound
from app.core.ids import new_id
from app.tables import AuditLogEntry, ForgetRequest, SubjectKey

MOST = 1000
"""References in one entry; of more persons only their number is written down."""
RECEIVED, SHREDDED = "forget_request.received", "forget_request.shredded"


def refer(session: Session, request: ForgetRequest, subject_ids: Sequence[str]) -> dict[str, Any]:
    """What an entry may say of these persons; the key is kept in a row of its own."""
    if len(subject_ids) > MOST:
        return {"subject_count": len(subject_ids)}
    row = SubjectKey(
        id=new_id("sk"), tenant_id=request.tenant_id, forget_request_id=request.id, key=secrets.token_hex(32)
    )
    session.add(row)
    session.flush()
    references = sorted(reference(row.key, subject_id) for subject_id in subject_ids)  # their order says nothing
    return {"subject_count": len(subject_ids), "subjects": references}


def reference(key: str, subject_id: str) -> str:
    """One person, under one request's key."""
    return hmac.new(bytes.fromhex(key), subject_id.encode(), hashlib.sha256).hexdigest()


def find(session: Session, subject_ids: Collection[str]) -> list[AuditLogEntry]:
    """All entries of the requests that name one of these persons, as far as their keys exist; in order."""
    received = select(SubjectKey.key, AuditLogEntry.resource, AuditLogEntry.data).join(
        AuditLogEntry, AuditLogEntry.resource == SubjectKey.forget_request_id
    )
    about = [
        resource
        for key, resource, data in session.execute(received.where(AuditLogEntry.action == RECEIVED))
        if not {reference(key, subject_id) for subject_id in subject_ids}.isdisjoint(data.get("subjects", []))
    ]
    entries = [
        entry
        for request_id in about
        for entry in session.scalars(select(AuditLogEntry).where(AuditLogEntry.resource == request_id))
    ]
    return sorted(entries, key=lambda entry: (entry.tenant_id, entry.number))


def shred(session: Session, request_id: str, *, actor: str) -> int:
    """Destroy the key of a request, of one for every model those of its children; says how many, and writes it down.

    Raises:
        NotFound: there is none.
    """
    query = (
        select(SubjectKey)
        .join(ForgetRequest, ForgetRequest.id == SubjectKey.forget_request_id)
        .where(or_(ForgetRequest.id == request_id, ForgetRequest.parent_id == request_id))
        .order_by(SubjectKey.id)
    )
    keys = session.scalars(query.with_for_update(of=SubjectKey)).all()
    if not keys:
        message = "No key belongs to this request: it names no subjects, there is no such request, or it is shredded."
        raise NotFound(message, code="no_such_subject_key")
    for row in keys:
        session.delete(row)
    session.flush()
    entries = [(SHREDDED, row.forget_request_id, {"reason": None}) for row in keys]
    audit_log.record_all(session, tenant_id=keys[0].tenant_id, actor=actor, entries=entries)
    return len(keys)
