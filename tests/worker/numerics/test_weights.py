"""A network with given weights: of its own storage, and without paying for initial weights that nobody wants."""

import pytest
import torch
from torch import nn

from worker.numerics.weights import network_with, relative_change, weights_of


def test_initial_weights_are_drawn_once_and_networks_share_nothing() -> None:
    drawn = []

    def build(seed: int) -> nn.Module:
        drawn.append(seed)
        return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    weights = weights_of(build(7))
    drawn.clear()
    one, other = network_with(build, weights), network_with(build, weights)
    with torch.no_grad():
        for tensor in one.state_dict().values():
            tensor.add_(1)

    assert len(drawn) == 1
    assert all(torch.equal(tensor, weights[name]) for name, tensor in other.state_dict().items())
    assert all(torch.equal(t, weights[name]) for name, t in network_with(build, weights).state_dict().items())
    assert not other.training


def test_weights_are_matched_by_name_whatever_their_order() -> None:
    """Both layers have the same shapes: by order, each would get the other's weights."""

    def build(_seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))

    network, inputs = build(0), torch.eye(2)
    backwards = dict(reversed(list(weights_of(network).items())))

    assert torch.equal(network_with(build, backwards)(inputs), network(inputs))


def test_the_relative_change_is_that_of_all_real_tensors_together() -> None:
    old = {"a": torch.tensor([3.0]), "b": torch.tensor([[4.0]]), "batches": torch.tensor(7)}
    new = {"a": torch.tensor([3.0]), "b": torch.tensor([[5.0]]), "batches": torch.tensor(900)}
    assert relative_change(old, new) == pytest.approx(1 / 5)
    assert relative_change(old, old) == 0
