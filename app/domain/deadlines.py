"""Until when a request must be carried out: one calendar month, as the law counts, and two more if it is extended.

Source: GDPR Art. 12(3).
"""

from calendar import monthrange
from datetime import datetime, timedelta

MONTHS, EXTENDED_MONTHS = 1, 3
NOTICES = (2, 7, 14)
"""Days before the deadline at which a request that is not over is brought to mind."""


def due_at(received_at: datetime) -> datetime:
    """The same day and time a month later; the last day of that month if it has no such day (31 Jan -> 28 Feb)."""
    return _later(received_at, MONTHS)


def extended_due_at(received_at: datetime) -> datetime:
    """Two further months, counted from receipt, so that a short February on the way costs no day (31 Jan -> 30 Apr)."""
    return _later(received_at, EXTENDED_MONTHS)


def _later(moment: datetime, months: int) -> datetime:
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def windows(at: datetime) -> list[tuple[int, datetime | None, datetime]]:
    """(days, after, until): a request that is due then has at most so many days left, and more than the next notice's.

    What is overdue falls into the last window.
    """
    ends = [at + timedelta(days=days) for days in NOTICES]
    return list(zip(NOTICES, [None, *ends], ends, strict=False))
