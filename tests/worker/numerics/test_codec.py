"""CODEC and FOCI: by hand, at their limits, and where they must not be fooled."""

import pytest
import torch
from torch import Tensor

from worker.numerics.codec import codec, foci, neighbours
from worker.numerics.randomness import drawn_from

NOTHING = torch.empty(400, 0)


def drawn(seed: int, columns: int) -> Tensor:
    return torch.randn(400, columns, generator=torch.Generator().manual_seed(seed))


def test_of_three_points_by_hand() -> None:
    """R = 1 2 3, L = 3 2 1, M = 2 1 2: (3·1 + 3·1 + 3·2 − 9 − 4 − 1) / (0 + 2 + 2)."""
    y, z = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[1.0], [2.0], [10.0]])

    assert codec(y, z, torch.empty(3, 0)).tolist() == [pytest.approx(-0.5)]


def test_given_another_number_by_hand() -> None:
    """N = 2 1 4 3 by x. z brings 1 to 3 and 2 to 4, so M = 3 4 1 2: R = 1 2 3 4, mins 1 2 1 2 against 1 1 3 3."""
    y, x = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([[0.0], [1.0], [3.0], [4.0]])
    z = torch.tensor([[0.0], [9.0], [0.0], [9.0]])

    assert codec(y, z, x).tolist() == [pytest.approx((6 - 8) / (10 - 8))]


def test_what_y_is_a_function_of_has_nearly_one_and_what_is_independent_nearly_nothing() -> None:
    z = drawn(1, 2)
    y = (3 * z[:, 0]).sin()

    function, independent = codec(y, z, NOTHING).tolist()
    assert function > 0.9
    assert abs(independent) < 0.15


def test_what_says_nothing_alone_may_say_all_beside_another() -> None:
    """y = the product: neither factor alone tells much."""
    z = drawn(2, 2)
    y = z[:, 0] * z[:, 1]

    assert abs(float(codec(y, z[:, :1], NOTHING))) < 0.15
    assert float(codec(y, z[:, :1], z[:, 1:])) > 0.7


def test_a_copy_of_what_is_given_says_nothing_more() -> None:
    z = drawn(4, 1)
    y = z.squeeze(1) + 0.5 * drawn(5, 1).squeeze(1)

    assert abs(float(codec(y, z, z))) < 1e-9


def test_a_constant_says_nothing_whichever_neighbour_it_has() -> None:
    """All are equally near: were the first taken, and its y the largest, T would be near 1."""
    y = torch.arange(400.0).flip(0)
    with drawn_from(1):
        assert abs(float(codec(y, torch.ones(400, 1), NOTHING))) < 0.2


def test_where_nothing_is_left_to_explain_it_is_zero() -> None:
    assert codec(torch.ones(400), drawn(1, 2), NOTHING).tolist() == [0, 0]


def test_the_neighbour_is_never_oneself() -> None:
    x = torch.tensor([[0.0], [1.0], [5.0]])

    assert neighbours(torch.cdist(x, x)).tolist() == [1, 0, 1]


def test_the_columns_that_y_is_made_of_are_found_in_order_of_what_they_say() -> None:
    z = drawn(6, 6)
    y = 4 * z[:, 3] + z[:, 1]

    with drawn_from(1):
        chosen = foci(y, 100 * z, most=6)
    assert chosen[:2] == [3, 1]
    assert foci(y, z, most=1) == [3]


def test_of_what_says_nothing_nothing_is_chosen() -> None:
    assert foci(torch.ones(400), drawn(1, 3), most=3) == []
