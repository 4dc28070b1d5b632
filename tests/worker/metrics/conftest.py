"""A bench on which every number can be worked out by hand: the network answers with its input, scaled."""

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.outcome import Bench, Kind, Model
from worker.numerics.run import Quiet

Row = tuple[float, int]  # the logit of class 1, with that of class 0 at zero; the label
MakeBench = Callable[..., Bench]


class Scaled(nn.Module):
    """Logits s·x."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:
        """`(B, 2)` to `(B, 2)`."""
        return self.scale * inputs


def model(scale: float) -> Model:
    return Model(lambda _: Scaled(), {"scale": torch.tensor([scale])})


def examples(rows: Sequence[Row], first: int = 0) -> TensorExamples:
    inputs = torch.tensor([[0.0, logit] for logit, _ in rows])
    labels = torch.tensor([label for _, label in rows])
    return TensorExamples(inputs, labels, torch.arange(first, first + len(rows)))


@pytest.fixture
def make_bench() -> MakeBench:
    def make(
        sets: Mapping[str, Sequence[Row]],
        *,
        after: float = 1.0,
        golds: Sequence[float] = (),
        kind: Kind = "samples",
        seed: int = 0,
    ) -> Bench:
        made: dict[str, Examples] = {}
        for k, (name, rows) in enumerate(sets.items()):
            made[name] = examples(rows, first=1000 * k)
        return Bench(model(1.0), model(after), tuple(map(model, golds)), made, kind, 2, seed, Quiet())

    return make
