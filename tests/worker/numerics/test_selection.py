"""Selections of weights, by hand."""

import torch

from worker.numerics.selection import select, threshold

SCORES = {"a": torch.tensor([0.0, 3.0, torch.inf], dtype=torch.float64), "b": torch.tensor([[1.0], [2.0]]).double()}


def test_the_fraction_is_taken_over_all_tensors_together() -> None:
    least = threshold(SCORES, 0.4)
    selection = select(SCORES, least)

    assert least == 2.0  # two of five exceed it: ∞ and 3
    assert selection.masks["a"].tolist() == [False, True, True]
    assert selection.masks["b"].tolist() == [[False], [False]]
    assert (selection.size, selection.of) == (2, 5)


def test_weights_of_score_zero_are_never_selected() -> None:
    dead = {"a": torch.tensor([0.0, 0.0, 0.0, 1.0]).double()}

    assert select(dead, threshold(dead, 0.75)).masks["a"].tolist() == [False, False, False, True]
