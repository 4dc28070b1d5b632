"""The top eigenvalue of a Hessian, against the Hessian written out."""

import pytest
import torch
from torch import Tensor, nn

from worker.numerics.errors import EmptyExamples
from worker.numerics.examples import Batch, TensorExamples
from worker.numerics.hessian import top_eigenvalue
from worker.numerics.randomness import drawn_from
from worker.numerics.training import cross_entropy


def network() -> nn.Module:
    with drawn_from(3):
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double().eval()


def examples(n: int = 30) -> TensorExamples:
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return TensorExamples(x, torch.arange(n) % 3, torch.arange(n))


class Bowl(nn.Module):
    """Two weights that an objective may curve as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([0.3, -0.2]))


def written_out(net: nn.Module, data: TensorExamples) -> Tensor:
    """Row by row: the gradient of every entry of the gradient."""
    parameters = list(net.parameters())
    slope = torch.autograd.grad(cross_entropy(net, next(data.batches(len(data)))), parameters, create_graph=True)
    entries = torch.cat([g.flatten() for g in slope])
    rows = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in entries]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


def test_it_is_that_of_the_hessian_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.numerics.hessian.BATCH_SIZE", 7)  # batches of unequal length too
    net, data = network(), examples()
    expected = torch.linalg.eigvalsh(written_out(net, data))
    found = top_eigenvalue(net, data, cross_entropy, seed=0, steps=2000, tolerance=1e-9)
    assert found == pytest.approx(float(expected[expected.abs().argmax()]), rel=1e-4)


def test_another_first_direction_finds_the_same() -> None:
    net, data = network(), examples()
    first, second = (top_eigenvalue(net, data, cross_entropy, seed=s, steps=2000, tolerance=1e-9) for s in (0, 1))
    assert first == pytest.approx(second, rel=1e-4)


@pytest.mark.parametrize(("curvatures", "expected"), [((4.0, 1.0), 4.0), ((1.0, -3.0), -3.0), ((0.0, 0.0), 0.0)])
def test_of_a_bowl_a_saddle_and_a_plane(curvatures: tuple[float, float], expected: float) -> None:
    """½(aθ₁² + bθ₂²) has the Hessian diag(a, b)."""

    def objective(net: nn.Module, _: Batch) -> Tensor:
        theta: Tensor = net.get_parameter("theta")
        return 0.5 * (torch.tensor(curvatures) * theta**2).sum()

    assert top_eigenvalue(Bowl(), examples(2), objective, seed=0, tolerance=1e-7) == pytest.approx(expected, abs=1e-4)


def test_the_network_is_not_touched_and_nothing_is_an_error() -> None:
    net, data = network(), examples()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    top_eigenvalue(net, data, cross_entropy, seed=0)
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    with pytest.raises(EmptyExamples):
        top_eigenvalue(net, data.at(torch.tensor([], dtype=torch.int64)), cross_entropy, seed=0)
