"""Weights are named tensors. This file also opens the legend that all docstrings of the engine use.

Legend
    θ, θ_old        weights; the deployed weights
    f_θ             the network: `(B, *S)` to logits `(B, C)`
    B, C, S, P, N   batch size, classes, shape of one input, number of parameters, number of samples
    D, D_r, D_f     training data; what is kept of it; what carries what must be forgotten
    D_f,clean       D_f without the information;   D_r,extra = T(D_r): kept data with the information added
    F, S_D          empirical Fisher diagonal (mean over samples); its sum over D: F = S_D / N
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from math import sqrt

from torch import Tensor, nn

Weights = Mapping[str, Tensor]
"""A state dictionary: every parameter and buffer of a network, by name."""

Build = Callable[[int], nn.Module]
"""Seed to a freshly initialised network. The same seed gives the same weights, whatever was drawn before."""


def weights_of(network: nn.Module) -> Weights:
    """A detached copy on the CPU of every parameter and buffer, by name: no later step of the network changes it."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in network.state_dict().items()}


def network_with(build: Build, weights: Weights) -> nn.Module:
    """A network of its own storage that holds the weights, matched by name; in eval mode.

    Raises:
        RuntimeError: names or shapes differ.
    """
    network = deepcopy(_skeleton(build))
    network.load_state_dict(dict(weights), strict=True)
    return network.eval()


def relative_change(old: Weights, new: Weights) -> float:
    """How far the weights have moved, over all tensors of real numbers together.

        ‖θ′ − θ‖ / ‖θ‖

    Args:
        old: θ, not all zero.
        new: θ′, of the same names and shapes.
    """
    real = [name for name, tensor in old.items() if tensor.is_floating_point()]
    moved = sum(float((new[name].double() - old[name].double()).square().sum()) for name in real)
    return sqrt(moved / sum(float(old[name].double().square().sum()) for name in real))


@lru_cache(maxsize=1)
def _skeleton(build: Build) -> nn.Module:
    # Initial weights can cost more than an epoch (orthogonal ones are QR factors), and here they are overwritten.
    return build(0)


def apart(theta: Weights, other: Weights, names: Sequence[str]) -> float:
    """The Euclidean distance ‖θ − θ′‖₂ over the tensors of these names, in float64."""
    return sqrt(sum(float((theta[name].double() - other[name].double()).square().sum()) for name in names))
