"""Other labels for the same examples, whatever is done to their order."""

import pytest
import torch

from worker.numerics.examples import Batch, Examples, TensorExamples
from worker.numerics.relabelling import Relabelled

PART = TensorExamples(torch.arange(7.0)[:, None], torch.zeros(7, dtype=torch.int64), torch.arange(100, 107))
EXAMPLES = Relabelled(PART, torch.arange(7) * 10)


def whole(examples: Examples, *, size: int = 3, seed: int | None = None) -> Batch:
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return Batch(*(torch.cat(parts) for parts in zip(*examples.batches(size, generator=generator), strict=True)))


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_every_example_has_its_new_label_in_any_order(seed: int | None) -> None:
    batch = whole(EXAMPLES, seed=seed)

    assert sorted(batch.labels.tolist()) == [0, 10, 20, 30, 40, 50, 60]
    assert torch.equal(batch.labels, 10 * batch.inputs[:, 0].long())
    assert torch.equal(batch.positions, 100 + batch.inputs[:, 0].long())
    assert batch.labels.tolist() != sorted(batch.labels.tolist()) or seed is None


def test_the_order_is_that_of_the_part() -> None:
    assert torch.equal(whole(EXAMPLES, seed=5).positions, whole(PART, seed=5).positions)


def test_a_choice_takes_its_labels_along() -> None:
    chosen = EXAMPLES.at(torch.tensor([4, 1]))

    assert len(chosen) == 2
    assert chosen.labels.tolist() == whole(chosen).labels.tolist() == [40, 10]
    assert chosen.positions.tolist() == [104, 101]


def test_changes_of_the_inputs_keep_the_labels() -> None:
    batch = whole(EXAMPLES.through(lambda x: x + 1).unnormalised())

    assert batch.inputs[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert batch.labels.tolist() == [0, 10, 20, 30, 40, 50, 60]


def test_the_part_keeps_its_own_labels() -> None:
    assert not PART.labels.any()
