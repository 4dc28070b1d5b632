"""Leases: of several processes that may do something, one does it, until it says so no more or is not heard of."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core import processes
from app.core.db import now
from app.tables import Lease


def hold(session: Session, name: str, *, owner: str, seconds: float) -> bool:
    """Take or renew the lease of that name; whether the owner has it now.

    It is free where nobody has it, where it has expired, and where its holder is a process of this machine that is
    dead.
    """
    lease = session.scalars(select(Lease).where(Lease.name == name).with_for_update()).one_or_none()
    at = now(session)
    until = at + timedelta(seconds=seconds)
    if lease is None:
        try:
            with session.begin_nested():
                session.add(Lease(name=name, owner=owner, fence=1, lease_until=until))
        except IntegrityError:  # another process was faster
            return False
        return True
    if lease.owner != owner:
        if lease.lease_until > at and not processes.is_dead(lease.owner):
            return False
        lease.owner, lease.fence = owner, lease.fence + 1
    lease.lease_until = until
    return True


def release(session: Session, name: str, *, owner: str) -> None:
    """Let the next one have it at once, if this one has it."""
    lease = session.scalars(select(Lease).where(Lease.name == name).with_for_update()).one_or_none()
    if lease is not None and lease.owner == owner:
        lease.lease_until = now(session)
