import itertools
from enum import StrEnum

import pytest

from app.domain.lifecycle import ARROWS, DeliveryStatus, ForbiddenArrow, check_arrow, is_final

PAIRS = [pair for states in ARROWS for pair in itertools.product(states, repeat=2)]


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=[f"{type(s).__name__}-{s}-{t}" for s, t in PAIRS])
def test_an_arrow_is_taken_exactly_where_the_table_draws_one(source: StrEnum, target: StrEnum) -> None:
    if target in ARROWS[type(source)][source]:
        check_arrow(source, target)
    else:
        with pytest.raises(ForbiddenArrow):
            check_arrow(source, target)


@pytest.mark.parametrize("states", ARROWS)
def test_every_state_has_a_row_in_the_table(states: type[StrEnum]) -> None:
    assert set(ARROWS[states]) == set(states)


@pytest.mark.parametrize("states", [s for s in ARROWS if s is not DeliveryStatus])  # a message may always be sent again
def test_from_every_state_an_end_can_be_reached(states: type[StrEnum]) -> None:
    for state in states:
        reached, frontier = {state}, {state}
        while frontier:
            frontier = {target for source in frontier for target in ARROWS[states][source]} - reached
            reached |= frontier
        assert any(is_final(target) for target in reached)
