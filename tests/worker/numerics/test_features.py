"""Hidden features: what the last two linear layers are given."""

import torch
from torch import nn

from worker.numerics.features import feature_distance, with_features


def test_they_are_the_inputs_of_the_last_two_linear_layers_and_no_hook_stays() -> None:
    first = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 8))
    network = nn.Sequential(first, nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
    x = torch.rand(6, 1, 4, 4)

    logits, features = with_features(network, x)

    assert torch.equal(logits, network(x))
    assert torch.equal(features[0], network[:2](x))
    assert torch.equal(features[1], network[:4](x))
    assert len(features) == 2
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_network_with_one_linear_layer_has_one_and_one_without_has_none() -> None:
    assert len(with_features(nn.Linear(4, 2), torch.rand(3, 4))[1]) == 1
    assert with_features(nn.Flatten(), torch.rand(3, 4))[1] == []


def test_distance_is_relative_and_summed_over_layers() -> None:
    wanted = [torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0]])]
    assert feature_distance([torch.tensor([[3.0, 9.0]]), torch.tensor([[1.0]])], wanted) == 1.0 + 0.25
    assert feature_distance(wanted, wanted) == 0
    assert feature_distance([torch.zeros(1, 2)], [torch.zeros(1, 2)]) == 0
