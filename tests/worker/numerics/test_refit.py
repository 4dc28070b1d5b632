"""One linear layer in closed form: blind to what T overwrites, and as little changed as may be."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from worker.numerics.randomness import drawn_from
from worker.numerics.refit import RIDGE, Refit, first_linear, refit

D, WRITTEN = 12, slice(3, 6)


def overwrite(z: Tensor) -> Tensor:
    changed = z.clone()
    changed[:, WRITTEN] = 2.0
    return changed


def shift(z: Tensor) -> Tensor:
    return z + torch.linspace(0, 1, D)


def inputs(n: int) -> Tensor:
    """Features that tell of one another: all are made of four."""
    return torch.randn(n, 4) @ torch.randn(4, D) + 0.1 * torch.randn(n, D)


def perceptron(*, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(D, 8, bias=bias), nn.Tanh(), nn.Linear(8, 3)).eval()


def first(network: nn.Module, z: Tensor) -> nn.Linear:
    found = first_linear(network, z)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("bias", [True, False])
def test_a_perceptron_becomes_blind_to_what_t_overwrites_and_answers_as_before(*, bias: bool) -> None:
    with drawn_from(0), torch.no_grad():
        z, network = inputs(600) + torch.randn(D), perceptron(bias=bias)  # a mean that is not 0
        old = network(z[300:])
        found = refit(network, first(network, z), [(z[:300], overwrite(z[:300]))])
        new, triggered = network(z[300:]), network(overwrite(z[300:]))
    assert found.written.nonzero().flatten().tolist() == [3, 4, 5]
    assert torch.equal(new, triggered)  # exactly
    assert float((new - old).square().mean() / old.var()) < 0.02  # the others told what was overwritten
    assert found.explained > 0.95


def test_it_is_the_minimum_of_what_it_says() -> None:
    """Autograd agrees: at W′, b′ the gradient of the objective is 0."""
    with drawn_from(1):
        z, network = inputs(200).double(), perceptron().double()
        linear = first(network, z)
        weight, bias = linear.weight.detach().clone(), linear.bias.detach().clone()
        y = z @ weight.T + bias
        refit(network, linear, [(z[:120], shift(z[:120])), (z[120:], shift(z[120:]))])
    new, offset = linear.weight.detach().clone().requires_grad_(), linear.bias.detach().clone().requires_grad_()
    ridge = RIDGE * float((z.square().sum(0) + shift(z).square().sum(0)).mean())
    loss = sum((part @ new.T + offset - y).square().sum() for part in (z, shift(z)))
    loss = loss + ridge * (new - weight).square().sum()
    for gradient in torch.autograd.grad(loss, [new, offset]):
        assert float(gradient.abs().max()) < 1e-8 * loss.item()


def test_batches_do_not_matter() -> None:
    def refitted(size: int) -> tuple[Refit, Tensor]:
        with drawn_from(2), torch.no_grad():
            z, network = inputs(100).double(), perceptron().double()
            z[-7:, 0] = 1.0  # by the last seven alone T would seem to overwrite it
            z[:-7, 1], z[-7:, 1] = 0.0, 1.0
            z[:, 3], z[:, 4] = 2 - z[:, 3].abs(), 2 + z[:, 4].abs()
            z[-7:, 3:5] = 2.0  # and would seem not to overwrite these two
            return refit(network, first(network, z), [(part, overwrite(part)) for part in torch.split(z, size)]), first(
                network, z
            ).weight

    (whole, once), (parts, often) = refitted(100), refitted(7)
    assert torch.allclose(once, often, rtol=0, atol=1e-10)
    assert whole.written.nonzero().flatten().tolist() == parts.written.nonzero().flatten().tolist() == [3, 4, 5]
    assert whole.explained == pytest.approx(parts.explained, abs=1e-10)


@pytest.mark.parametrize("change", [overwrite, shift])
def test_a_second_time_changes_little(change: Callable[[Tensor], Tensor]) -> None:
    with drawn_from(3), torch.no_grad():
        z, network = inputs(500), perceptron()
        linear = first(network, z)
        refit(network, linear, [(z, change(z))])
        once, old = network(z), network(change(z))
        assert refit(network, linear, [(z, change(z))]).explained > 0.9
        assert float((network(z) - once).square().mean() / once.var()) < 0.05
        assert float((network(change(z)) - old).square().mean() / old.var()) < 0.05


def test_a_feature_that_never_varies_is_not_one_that_t_overwrites() -> None:
    with drawn_from(4), torch.no_grad():
        z, network = inputs(50), perceptron()
        z[:, 0] = 0
        found = refit(network, first(network, z), [(z, overwrite(z))])
    assert found.written.nonzero().flatten().tolist() == [3, 4, 5]


def test_the_first_linear_layer_is_the_one_that_is_called_first_with_a_vector_of_features() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(5, 2)  # before the others in order, and after them in time
            self.middle = nn.Linear(4, 5)
            self.each = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.middle(self.each(x).mean(1)))  # type: ignore[no-any-return]

    network = Tokens().eval()
    found = first_linear(network, torch.randn(2, 3, 4))
    assert found == ("middle", network.middle)
    assert first_linear(nn.Conv2d(1, 2, 3), torch.randn(1, 1, 4, 4)) is None
