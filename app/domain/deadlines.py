"""Until when a request must be carried out: one calendar month, as the law counts."""

from calendar import monthrange
from datetime import datetime


def due_at(received_at: datetime) -> datetime:
    """The same day and time a month later; the last day of that month if it has no such day (31 Jan -> 28 Feb)."""
    year, month = received_at.year + received_at.month // 12, received_at.month % 12 + 1
    return received_at.replace(year=year, month=month, day=min(received_at.day, monthrange(year, month)[1]))
