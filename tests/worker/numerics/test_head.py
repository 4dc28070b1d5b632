"""The head of a network, and what it is given."""

import pytest
import torch
from torch import Tensor, nn

from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.examples import TensorExamples
from worker.numerics.head import Head, head_inputs, head_of
from worker.numerics.run import Quiet


def examples(n: int = 5, features: int = 4) -> TensorExamples:
    raw = torch.rand(n, features, generator=torch.Generator().manual_seed(1))
    return TensorExamples(raw, torch.zeros(n, dtype=torch.int64), torch.arange(n))


class Tied(nn.Module):
    """One matrix, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("bias", [True, False])
def test_the_head_of_its_inputs_is_the_answer(bias: bool) -> None:  # noqa: FBT001 - a parameter of the test
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3, bias=bias), nn.Identity())
    head = head_of(network, examples())
    inputs = head_inputs(network, head, examples(), run=Quiet(), phase="features")

    assert head == Head("2.weight", "2.bias" if bias else None)
    assert inputs.shape == (5, 6 + bias)
    answer = inputs @ head.matrix(network.state_dict()).T
    torch.testing.assert_close(answer.float(), network(examples().raw))


def test_a_network_that_is_a_linear_layer_is_its_own_head() -> None:
    network = nn.Linear(4, 3)
    head = head_of(network, examples())
    assert head == Head("weight", "bias")
    inputs = head_inputs(network, head, examples(), run=Quiet(), phase="features")
    torch.testing.assert_close(inputs[:, :4].float(), examples().raw)


def test_put_changes_the_head_alone_and_not_the_old_weights() -> None:
    network = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    old, head = network.state_dict(), head_of(network, examples())
    before = {name: tensor.clone() for name, tensor in old.items()}
    new = head.put(old, torch.arange(21, dtype=torch.float64).view(3, 7))
    assert new["1.weight"][1].tolist() == [7, 8, 9, 10, 11, 12]
    assert new["1.bias"].tolist() == [6, 13, 20]
    assert torch.equal(new["0.weight"], old["0.weight"])
    assert all(torch.equal(old[name], before[name]) for name in before)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), "as it is"),
        (nn.Sequential(nn.Flatten()), "no linear layer"),
        (Tied(), "used elsewhere"),
    ],
)
def test_where_there_is_no_linear_head_it_is_said(network: nn.Module, why: str) -> None:
    with pytest.raises(Misfit, match=why):
        head_of(network, examples())


def test_no_examples_are_an_error() -> None:
    with pytest.raises(EmptyExamples):
        head_of(nn.Linear(4, 3), examples(0))
