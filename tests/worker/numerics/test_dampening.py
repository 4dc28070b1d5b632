"""Selective synaptic dampening by hand: three weights, and a bound that follows from additivity."""

import pytest
import torch

from worker.numerics.dampening import dampen, dampened, share, usable
from worker.numerics.errors import ForgetsTooMuch, Misfit
from worker.numerics.fisher import Fisher
from worker.numerics.selection import select

THETA = torch.tensor([[2.0, -2.0, 2.0], [4.0, 4.0, 4.0]])
IMPORTANCE = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]).double()
FORGET = torch.tensor([[4.0, 0.5, 3.0], [0.0, 0.0, 0.0]]).double()
EVERYTHING = torch.ones(2, 3, dtype=torch.bool)


def test_weights_shrink_by_the_ratio_and_never_grow() -> None:
    shrunk = dampen(THETA, IMPORTANCE, FORGET, EVERYTHING, strength=1.0)

    assert shrunk.dtype == torch.float32
    assert shrunk[0].tolist() == [0.5, -2.0, 0.0]  # β = 1/4; 2, which is more than 1; 0/3


def test_a_row_that_matters_to_nobody_stays() -> None:
    assert dampen(THETA, IMPORTANCE, FORGET, EVERYTHING, strength=1.0)[1].tolist() == [4.0, 4.0, 4.0]


def test_a_smaller_strength_shrinks_harder() -> None:
    assert dampen(THETA, IMPORTANCE, FORGET, EVERYTHING, strength=0.5)[0].tolist() == [0.25, -2.0, 0.0]


def test_what_is_not_selected_and_what_is_no_parameter_stays() -> None:
    old = {"weight": THETA, "count": torch.tensor(3)}
    selection = select({"weight": torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.0, 0.0]])}, 1.0)

    new = dampened(old, {"weight": IMPORTANCE}, {"weight": FORGET}, selection, strength=1.0)

    assert new["weight"].tolist() == [[0.5, -2.0, 2.0], [4.0, 4.0, 4.0]]
    assert new["count"] == 3
    assert new["count"] is not old["count"]


def test_more_than_half_of_the_data_is_too_much() -> None:
    stored = Fisher({}, 10)

    assert share(5, stored) == 0.5
    with pytest.raises(ForgetsTooMuch, match="6 of 10"):
        share(6, stored)


def test_an_alpha_that_could_select_nothing_is_refused_with_the_bound() -> None:
    assert usable(7.9, 0.1) == 7.9
    with pytest.raises(Misfit, match=r"never exceeds .* 10; give an α below 8"):
        usable(8.0, 0.1)
