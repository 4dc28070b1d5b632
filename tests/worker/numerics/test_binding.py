"""Two things are bound alike only if they are alike."""

from typing import Any

import torch

from worker.numerics.binding import bound_to
from worker.numerics.examples import Normalisation, TensorExamples


def examples(positions: tuple[int, ...] = (0, 1), mean: float = 0.0) -> TensorExamples:
    normalisation = Normalisation((mean,))
    return TensorExamples(torch.zeros(2, 3), torch.tensor([0, 1]), torch.tensor(positions), normalisation)


def test_what_is_alike_is_bound_alike() -> None:
    one = {"b": torch.ones(2), "a": torch.zeros((), dtype=torch.bool)}
    other = {"a": torch.zeros((), dtype=torch.bool), "b": torch.ones(4)[::2]}
    assert bound_to(one, examples(), "x", None) == bound_to(other, examples(), "x", None)


def test_what_differs_is_bound_differently() -> None:
    different: list[tuple[Any, ...]] = [
        (torch.zeros(4),),
        (torch.zeros(2, 2),),
        (torch.zeros(2, dtype=torch.float64),),
        (torch.tensor([0.0, 0.0, 0.0, -0.0]),),
        ({"a": torch.zeros(4)},),
        ({"b": torch.zeros(4)},),
        (examples(),),
        (examples((0, 2)),),
        (examples(mean=0.5),),
        ("0",),
        (0,),
        (None,),
        (),
    ]
    assert len({bound_to(*parts) for parts in different}) == len(different)
