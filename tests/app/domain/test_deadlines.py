from datetime import UTC, datetime

import pytest

from app.domain.deadlines import due_at, extended_due_at


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ((2026, 1, 31), (2026, 2, 28)),
        ((2028, 1, 31), (2028, 2, 29)),
        ((2026, 3, 31), (2026, 4, 30)),
        ((2026, 2, 28), (2026, 3, 28)),
        ((2026, 12, 31), (2027, 1, 31)),
        ((2026, 11, 20), (2026, 12, 20)),
    ],
)
def test_a_month_is_a_calendar_month(received: tuple[int, int, int], due: tuple[int, int, int]) -> None:
    assert due_at(datetime(*received, 9, 30, tzinfo=UTC)) == datetime(*due, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ((2026, 1, 31), (2026, 4, 30)),
        ((2026, 11, 30), (2027, 2, 28)),
        ((2027, 11, 30), (2028, 2, 29)),
        ((2026, 9, 15), (2026, 12, 15)),
        ((2026, 10, 1), (2027, 1, 1)),
    ],
)
def test_two_further_months_count_from_receipt(received: tuple[int, int, int], due: tuple[int, int, int]) -> None:
    assert extended_due_at(datetime(*received, 9, 30, tzinfo=UTC)) == datetime(*due, 9, 30, tzinfo=UTC)
