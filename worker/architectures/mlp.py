"""`mlp`: the deep perceptron of Hayase et al."""

from itertools import pairwise
from math import prod, sqrt

from torch import Tensor, nn
from torch.nn.functional import hardtanh

from app.architectures.mlp import MlpParams
from worker.numerics.randomness import drawn_from

GAIN = 1.0013  # g
LIMIT = 1 / sqrt(0.125)  # 1/s


class HardTanh(nn.Module):
    """φ(x) = g·x where s·g·|x| < 1, and sgn(x)/s beyond: continuous, so that a kink is not a jump.

    As printed the paper's φ continues with g·sgn(x), which falls from 2.83 to 1.0.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return hardtanh(GAIN * x, -LIMIT, LIMIT)


def build(params: MlpParams, seed: int) -> nn.Module:
    """`layers` linear layers with φ between; orthogonal weights, zero biases.

    Returns:
        `(B, *input_shape)` to `(B, classes)`.

    Source: Hayase, Yasutomi & Katoh, Selective Forgetting of Deep Networks at a Finer Level than Samples, 2020.
    """
    inputs = prod(params.input_shape)
    widths = [inputs, *[params.width or inputs] * (params.layers - 1), params.classes]
    with drawn_from(seed):
        linears = [_linear(i, o) for i, o in pairwise(widths)]
    steps: list[nn.Module] = [nn.Flatten(), linears[0]]
    for linear in linears[1:]:
        steps += [HardTanh(), linear]
    return nn.Sequential(*steps)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
