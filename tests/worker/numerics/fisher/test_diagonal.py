"""The arithmetic of stored Fisher diagonals, with numbers to check by hand."""

import pytest
import torch

from worker.numerics.errors import EmptyExamples, Misfit, StaleFisher
from worker.numerics.fisher import Fisher, ratio


def fisher(count: int, *sums: float, weights: str = "", data: str = "") -> Fisher:
    return Fisher({"w": torch.tensor(sums, dtype=torch.float64)}, count, weights, data)


def test_the_diagonal_is_the_mean_of_the_squares() -> None:
    assert fisher(4, 2.0, 0.0).diagonal()["w"].tolist() == [0.5, 0.0]


def test_subtraction_leaves_what_the_others_contributed() -> None:
    kept = fisher(10, 6.0, 3.0).minus(fisher(4, 2.0, 3.0))
    assert kept.count == 6
    assert kept.sums["w"].tolist() == [4.0, 0.0]
    assert kept.below_noise_floor == 1


def test_disjoint_sets_add_up() -> None:
    both = fisher(2, 1.0, 3.0).plus(fisher(3, 4.0, 0.5))
    assert both.count == 5
    assert both.sums["w"].tolist() == [5.0, 3.5]


def test_what_cannot_be_told_from_zero_is_zero_and_counted() -> None:
    kept = fisher(10, 1.0, 1.0, 1.0, 0.0).minus(fisher(5, 1 - 1e-8, 1 + 1e-8, 1 - 1e-5, 0.0))
    assert kept.sums["w"][:2].tolist() == [0.0, 0.0]
    assert kept.sums["w"][2] == pytest.approx(1e-5)
    assert kept.below_noise_floor == 2  # the dead weight is not noise


def test_after_a_subtraction_nothing_is_negative() -> None:
    s = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = Fisher({"w": s}, 10).minus(Fisher({"w": s * (1 + 1e-7 * torch.linspace(-1, 1, 1000))}, 9))
    assert (kept.sums["w"] >= 0).all()


def test_taking_everything_away_is_an_error() -> None:
    with pytest.raises(EmptyExamples):
        fisher(4, 1.0).minus(fisher(4, 1.0))


def test_the_mean_over_nothing_is_an_error() -> None:
    with pytest.raises(EmptyExamples):
        fisher(0, 0.0).diagonal()


def test_sums_are_matched_by_name_and_never_by_order() -> None:
    a, b = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    whole, part = Fisher({"a": 3 * a, "b": 5 * a}, 4), Fisher({"b": b, "a": a}, 1)
    kept = whole.minus(part)
    assert kept.sums["a"].tolist() == [2.0, 2.0]
    assert kept.sums["b"].tolist() == [5.0, 5.0]


@pytest.mark.parametrize("other", [{"v": torch.ones(2)}, {"w": torch.ones(3)}, {}])
def test_other_names_or_shapes_are_an_error(other: dict[str, torch.Tensor]) -> None:
    with pytest.raises(Misfit):
        fisher(4, 1.0, 1.0).minus(Fisher(other, 1))
    with pytest.raises(Misfit):
        ratio(Fisher(other, 1), fisher(4, 1.0, 1.0))


def test_the_ratio_of_zeros_is_zero_and_of_anything_to_zero_infinite() -> None:
    r = ratio(fisher(2, 4.0, 1.0, 0.0, 0.0), fisher(4, 2.0, 0.0, 0.0, 1.0))
    assert r["w"].tolist() == [4.0, torch.inf, 0.0, 0.0]


def test_a_bound_fisher_answers_only_for_its_weights_and_data() -> None:
    stored = fisher(1, 1.0, weights="aa", data="bb")
    stored.check(weights_sha256="aa", data_sha256="bb")
    with pytest.raises(StaleFisher, match="weights"):
        stored.check(weights_sha256="ab", data_sha256="bb")
    with pytest.raises(StaleFisher, match="data"):
        stored.check(weights_sha256="aa", data_sha256="bc")


def test_an_unbound_fisher_answers_for_nothing() -> None:
    with pytest.raises(StaleFisher, match="unbound"):
        fisher(1, 1.0).check(weights_sha256="aa", data_sha256="bb")


def test_fishers_of_different_weights_are_not_subtracted() -> None:
    with pytest.raises(StaleFisher):
        fisher(2, 1.0, weights="aa").minus(fisher(1, 1.0, weights="bb"))


def test_what_is_left_is_bound_to_the_weights_but_to_no_stored_data() -> None:
    kept = fisher(2, 2.0, weights="aa", data="bb").minus(fisher(1, 1.0))
    assert (kept.weights_sha256, kept.data_sha256) == ("aa", "")
