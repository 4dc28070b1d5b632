"""Two sets as one."""

from dataclasses import replace

import torch
from torch import Tensor

from worker.numerics.concatenation import concatenated
from worker.numerics.examples import Normalisation, TensorExamples


def some(first: int, n: int) -> TensorExamples:
    numbers = torch.arange(first, first + n)
    return TensorExamples(numbers.float()[:, None], numbers % 3, numbers)


def test_in_order_the_second_part_follows_the_first() -> None:
    both = concatenated(some(0, 3), some(10, 4))

    inputs = torch.cat([batch.inputs for batch in both.batches(2)]).flatten()

    assert inputs.tolist() == [0, 1, 2, 10, 11, 12, 13]
    assert both.positions.tolist() == inputs.tolist()
    assert both.labels.tolist() == [0, 1, 2, 1, 2, 0, 1]


def test_shuffled_rows_stay_together_and_mix_across_parts() -> None:
    both = concatenated(some(0, 50), some(100, 50))

    batches = list(both.batches(20, generator=torch.Generator().manual_seed(0)))

    for batch in batches:
        assert torch.equal(batch.inputs.flatten().long(), batch.positions)
        assert torch.equal(batch.labels, batch.positions % 3)
    assert any(batch.positions.min() < 50 <= batch.positions.max() for batch in batches)
    assert sorted(torch.cat([batch.positions for batch in batches]).tolist()) == [*range(50), *range(100, 150)]


def test_choosing_and_changing_keep_their_meaning() -> None:
    def double(inputs: Tensor) -> Tensor:
        return inputs * 2

    chosen = concatenated(some(0, 3), some(10, 4)).through(double).at(torch.tensor([4, 0]))

    (batch,) = chosen.batches(8)
    assert batch.inputs.flatten().tolist() == [22, 0]
    assert len(chosen) == 2


def test_raw_inputs_are_those_of_every_part() -> None:
    scale = Normalisation((1.0,), (2.0,))
    both = concatenated(*(replace(part, normalisation=scale) for part in (some(0, 2), some(10, 1))))

    (batch,) = both.unnormalised().batches(8)

    assert both.normalisation == scale
    assert batch.inputs.flatten().tolist() == [0, 1, 10]
