import pytest
import torch

from worker.numerics.splits import folds, hold_out

LABELS = torch.tensor([2] * 50 + [0] * 30 + [1] * 20)


def test_folds_share_no_sample_and_hold_all_of_them() -> None:
    parts = torch.stack(folds(LABELS, 5, seed=1))
    assert torch.equal(parts.sum(0), torch.ones(100, dtype=torch.int64))
    assert parts.sum(1).tolist() == [20] * 5


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.25, 0.5])
def test_a_part_held_out_is_as_large_as_asked_and_has_the_class_mix_of_the_whole(fraction: float) -> None:
    part = hold_out(LABELS, fraction, seed=1)
    assert part.sum() == int(100 * fraction)
    for label, count in ((2, 50), (0, 30), (1, 20)):
        assert abs(int(part[label == LABELS].sum()) - fraction * count) <= 1


def test_each_fold_has_the_class_mix_of_the_whole() -> None:
    for part in folds(LABELS, 5, seed=2):
        assert [int(part[label == LABELS].sum()) for label in (2, 0, 1)] == [10, 6, 4]


def test_the_seed_alone_decides_who_is_in_a_part() -> None:
    torch.manual_seed(1)
    first = hold_out(LABELS, 0.2, seed=7)
    torch.manual_seed(2)
    assert torch.equal(first, hold_out(LABELS, 0.2, seed=7))
    assert not torch.equal(first, hold_out(LABELS, 0.2, seed=8))
