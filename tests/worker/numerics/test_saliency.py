"""The mean gradient: against one pass over everything, whatever the batches."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from worker.numerics.errors import EmptyExamples, NonFinite
from worker.numerics.examples import TensorExamples
from worker.numerics.run import Quiet
from worker.numerics.saliency import mean_gradient


def examples(n: int) -> TensorExamples:
    generator = torch.Generator().manual_seed(1)
    return TensorExamples(torch.randn(n, 4, generator=generator), torch.arange(n) % 3, torch.arange(n))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_it_is_that_of_the_mean_loss_whatever_the_batches(batch_size: int) -> None:
    network = nn.Linear(4, 3).eval()
    (batch,) = examples(10).batches(10)
    expected = torch.autograd.grad(cross_entropy(network(batch.inputs), batch.labels), list(network.parameters()))

    found = mean_gradient(network, examples(10), batch_size=batch_size, run=Quiet())

    for g, mine in zip(expected, (found["weight"], found["bias"]), strict=True):
        assert torch.allclose(g.double(), mine, atol=1e-6)


def test_without_examples_or_with_a_nan_there_is_none() -> None:
    network = nn.Linear(4, 3)
    with pytest.raises(EmptyExamples):
        mean_gradient(network, examples(0))
    with torch.no_grad():
        network.bias[0] = torch.nan
    with pytest.raises(NonFinite):
        mean_gradient(network, examples(2))
