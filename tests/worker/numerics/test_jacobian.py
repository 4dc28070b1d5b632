"""The Jacobian of a network's answers against one backward pass for every logit."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.vit import VitParams
from tests.worker.numerics.recorder import Recorder
from worker.architectures import mlp, resnet18, small_cnn, vit
from worker.numerics import jacobian
from worker.numerics.examples import TensorExamples
from worker.numerics.jacobian import flat, linearised, moved
from worker.numerics.run import Quiet

SHAPE = (1, 8, 8)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: mlp.build(MlpParams(input_shape=SHAPE, classes=3, layers=3, width=4), 1),
    "small_cnn": lambda: small_cnn.build(SmallCnnParams(input_shape=SHAPE, classes=3, width=2, hidden=5), 1),
    "resnet18": lambda: resnet18.build(Resnet18Params(input_shape=SHAPE, classes=3, width=1), 1),
    "vit": lambda: vit.build(VitParams(input_shape=SHAPE, classes=3, patch=4, depth=1, width=4, heads=2), 1),
}


def examples(n: int = 5) -> TensorExamples:
    raw = torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(2))
    return TensorExamples(raw, torch.zeros(n, dtype=torch.int64), torch.arange(n))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_is_the_gradient_of_a_logit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, run = NETWORKS[name](), Recorder()
    monkeypatch.setattr(jacobian, "CHUNK", 2 * 3 * sum(p.numel() for p in network.parameters()))

    found = linearised(network, examples(), run=run, phase="rows")

    assert [told[1:3] for told in run.told] == [(2, 5), (4, 5), (5, 5)]
    answers = network(examples().raw.double())
    torch.testing.assert_close(found.answers, answers.flatten())
    for row, logit in zip(found.jacobian, answers.flatten(), strict=True):
        gradients = torch.autograd.grad(logit, list(network.parameters()), retain_graph=True)
        torch.testing.assert_close(row, torch.cat([g.flatten() for g in gradients]), rtol=1e-9, atol=1e-12)


def test_the_linear_network_is_that_of_the_weights_around_it() -> None:
    """Exactly, where the network is linear in its weights."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    old = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = linearised(network, examples(), run=Quiet(), phase="rows")
    shift = torch.linspace(-1, 1, 195, dtype=torch.float64)

    network.load_state_dict(moved(old, network, shift))

    torch.testing.assert_close(found.at(shift), network(examples().raw.double()).flatten(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(flat(network.state_dict(), network) - flat(old, network), shift, rtol=1e-5, atol=1e-6)
