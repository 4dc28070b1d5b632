"""The audit log: a hash chain per tenant, its head kept in the tenant's row.

    digest_n = SHA-256(digest_{n-1} ‖ canonical JSON of entry n),   digest_0 = 64 zeros

Entries name resources by id, and persons only by references whose keys can be destroyed (`references`).
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import rfc8785
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.db import now
from app.core.ids import new_id
from app.tables import AuditLogEntry, Tenant


def record(
    session: Session, *, tenant_id: str, actor: str, action: str, resource: str, data: dict[str, Any]
) -> AuditLogEntry:
    """Append an entry; it stands if and only if the caller's transaction does.

    Locks the tenant until then: take the locks of other rows first, or two transactions may wait for each other.
    """
    return record_all(session, tenant_id=tenant_id, actor=actor, entries=[(action, resource, data)])[0]


def record_all(
    session: Session, *, tenant_id: str, actor: str, entries: Sequence[tuple[str, str, dict[str, Any]]]
) -> list[AuditLogEntry]:
    """Append entries (action, resource, data), in this order; as `record`, with one lock and one insertion for all."""
    tenant = session.execute(
        select(Tenant)
        .where(Tenant.id == tenant_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one()
    rows, at = [], now(session)
    for action, resource, data in entries:
        entry = AuditLogEntry(
            id=new_id("al"),
            tenant_id=tenant_id,
            number=tenant.audit_log_length + 1,
            at=at,
            actor=actor,
            action=action,
            resource=resource,
            data=data,
            previous=tenant.audit_log_head,
        )
        entry.digest = digest_of(entry)
        tenant.audit_log_head = entry.digest
        tenant.audit_log_length = entry.number
        rows.append(entry)
    session.add_all(rows)
    session.flush()
    return rows


def verify(session: Session, tenant_id: str) -> int | None:
    """The number of the first entry that is changed, missing or misplaced; None if the chain holds.

    Locks nothing: what is appended meanwhile is left to the next time.
    """
    tenant = session.get_one(Tenant, tenant_id, populate_existing=True)
    previous, number = "0" * 64, 0
    known = AuditLogEntry.number <= tenant.audit_log_length
    entries = select(AuditLogEntry).where(AuditLogEntry.tenant_id == tenant_id, known).order_by(AuditLogEntry.number)
    with session.scalars(entries.execution_options(yield_per=1000)) as rows:  # closes the cursor at a break, too
        for entry in rows:
            number += 1
            if entry.number != number or entry.previous != previous or entry.digest != digest_of(entry):
                return number
            previous = entry.digest
    if (tenant.audit_log_length, tenant.audit_log_head) != (number, previous):
        return number + 1  # the end is missing
    return None


def digest_of(entry: AuditLogEntry) -> str:
    """SHA-256 over the digest before it and the entry's RFC 8785 canonical JSON."""
    content: dict[str, Any] = {
        "tenant_id": entry.tenant_id,
        "number": entry.number,
        "at": _text(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "resource": entry.resource,
        "data": entry.data,
    }
    return hashlib.sha256(entry.previous.encode() + rfc8785.dumps(content)).hexdigest()


def _text(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
