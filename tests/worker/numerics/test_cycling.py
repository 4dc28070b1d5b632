"""Sets of different sizes, side by side."""

from dataclasses import replace

import pytest
import torch

from worker.numerics.cycling import Cycled, side_by_side
from worker.numerics.examples import Normalisation, TensorExamples


def numbers(n: int) -> TensorExamples:
    return TensorExamples(torch.arange(n).float().unsqueeze(1), torch.arange(n) % 3, torch.arange(n) + 100)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 50])
def test_every_round_has_every_example_once(size: int) -> None:
    cycled = Cycled(numbers(3), 11)
    batches = list(cycled.batches(size, generator=torch.Generator().manual_seed(0)))
    assert [len(b.labels) for b in batches] == [min(size, 11 - start) for start in range(0, 11, size)]
    positions = torch.cat([b.positions for b in batches]).tolist()
    for start in range(0, 9, 3):
        assert sorted(positions[start : start + 3]) == [100, 101, 102]
    assert len({tuple(positions[start : start + 3]) for start in range(0, 9, 3)}) > 1
    assert all(b.inputs.flatten().tolist() == [p - 100 for p in b.positions.tolist()] for b in batches)


def test_labels_positions_and_rows_agree_with_an_ordered_pass() -> None:
    cycled = Cycled(numbers(3), 8)
    (batch,) = cycled.batches(8)
    assert torch.equal(batch.labels, cycled.labels)
    assert torch.equal(batch.positions, cycled.positions)
    assert torch.equal(cycled.at(torch.tensor([7, 0])).positions, cycled.positions[[7, 0]])
    assert next(cycled.through(lambda x: -x).batches(2)).inputs.flatten().tolist() == [-0.0, -1.0]


def test_raw_inputs_begin_again_too() -> None:
    cycled = Cycled(replace(numbers(3), normalisation=Normalisation((1.0,), (2.0,))), 4)
    assert cycled.normalisation.mean == (1.0,)
    assert next(cycled.unnormalised().batches(4)).inputs.flatten().tolist() == [0.0, 1.0, 2.0, 0.0]


def test_the_longest_stays_as_it_is() -> None:
    short, long, empty = numbers(2), numbers(5), numbers(0)
    first, second, third = side_by_side(short, long, empty)
    assert isinstance(first, Cycled)
    assert (len(first), second, third) == (5, long, empty)
