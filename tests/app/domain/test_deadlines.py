from datetime import UTC, datetime

import pytest

from app.domain.deadlines import due_at


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
