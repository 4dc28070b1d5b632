"""Until when a request must be carried out: one calendar month, as the law counts, and two more if it is extended.

Source: GDPR Art. 12(3).
"""

from calendar import monthrange
from datetime import datetime

MONTHS, EXTENDED_MONTHS = 1, 3


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
