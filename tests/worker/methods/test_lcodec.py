"""Method `lcodec`: the blocks' Hessians, the step, and that only what was chosen moves."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from app.architectures.mlp import MlpParams
from app.core.params import Deployed
from app.methods.lcodec import LcodecParams
from tests.worker.methods.conftest import CLASSES, FEATURES, cloud
from worker.methods.lcodec import block_names, curvature, lcodec, newton, probed
from worker.numerics.descent import Plan, descend
from worker.numerics.errors import EmptyExamples, NothingToDo, TooLarge
from worker.numerics.examples import Batch, Examples, TensorExamples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import drawn_from
from worker.numerics.run import Quiet
from worker.numerics.weights import Weights, weights_of

WHOLE = LcodecParams(blocks=CLASSES, damping=1e-6, hessian_samples=1000)


def linear(seed: int) -> nn.Module:
    with drawn_from(seed):
        return nn.Linear(FEATURES, CLASSES)


def convolutional(seed: int) -> nn.Module:
    with drawn_from(seed):
        return nn.Sequential(
            nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)
        )


def images(n: int) -> TensorExamples:
    raw = torch.rand(n, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    return TensorExamples(raw, torch.arange(n) % 3, torch.arange(n))


def exact(network: nn.Module, names: list[str], row: int, examples: Examples) -> Tensor:
    """The Hessian block by differentiating the mean loss twice."""
    (batch,) = examples.batches(1000)
    tensors = {name: network.get_parameter(name).detach().double() for name in names}
    sizes = [tensor[0].numel() for tensor in tensors.values()]

    def loss(block: Tensor) -> Tensor:
        replaced = {
            name: tensor.index_copy(0, torch.tensor([row]), part.view_as(tensor[[row]]))
            for (name, tensor), part in zip(tensors.items(), torch.split(block, sizes), strict=True)
        }
        return cross_entropy(functional_call(network, replaced, (batch.inputs.double(),)), batch.labels)

    at = torch.cat([tensor[row].flatten() for tensor in tensors.values()])
    hessian: Tensor = torch.func.jacrev(torch.func.grad(loss))(at)
    return hessian


@pytest.mark.parametrize("layer", ["0", "4", "6"])
def test_a_block_is_that_of_the_hessian_where_the_network_is_piecewise_linear(layer: str) -> None:
    network, examples = convolutional(3), images(7)
    rows = torch.tensor([1, 0])
    names = block_names(network, layer)

    found = curvature(network, names, rows, examples, run=Quiet(), phase="hessian")

    for place, row in enumerate(rows.tolist()):
        torch.testing.assert_close(found[place], exact(network, names, row, examples), rtol=1e-6, atol=1e-9)


def test_the_step_solves_the_damped_system() -> None:
    """H = diag(2, 4), its mean 3; λ = 1/3 adds 1. A unit without curvature does not move."""
    hessians = torch.stack([torch.diag(torch.tensor([2.0, 4.0])), torch.zeros(2, 2)]).double()
    steps = newton(hessians, torch.tensor([[3.0, 10.0], [0.0, 0.0]]).double(), 1 / 3)

    torch.testing.assert_close(steps, torch.tensor([[1.0, 2.0], [0.0, 0.0]]).double())


def fitted(examples: Examples) -> Weights:
    """The optimum of the mean cross entropy, to which plain descent has come close."""
    network = linear(0)

    def objective(network: nn.Module, batch: Batch) -> Tensor:
        return cross_entropy(network(batch.inputs), batch.labels)

    descend(network, examples, objective, Plan(1.0, batch_size=1000, steps=600), seed=0)
    return weights_of(network)


def test_it_moves_towards_the_retrained_solution() -> None:
    data = cloud(1, 120)
    gone = torch.arange(120) < 12
    old, retrained = fitted(data), fitted(data.where(~gone))
    problem = Problem(linear, old, CLASSES, "A", 7, forget=data.where(gone), retain=data.where(~gone))

    new = lcodec(problem, WHOLE).weights

    def loss(weights: Weights) -> float:
        (batch,) = data.where(~gone).batches(1000)
        return float(cross_entropy(functional_call(linear(0), dict(weights), (batch.inputs,)), batch.labels))

    assert loss(retrained) < loss(new) < loss(old)
    assert loss(new) - loss(retrained) < 0.5 * (loss(old) - loss(retrained))


def test_only_the_chosen_rows_move(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    outcome = lcodec(problem, LcodecParams(blocks=2))
    chosen = {tuple(block.split(": ")) for block in str(outcome.facts["blocks_of_layers"]).split(", ")}

    moved = {
        (name.partition(".")[0], str(row))
        for name, theta in problem.old.items()
        for row in range(len(theta))
        if not torch.equal(theta[row], outcome.weights[name][row])
    }
    assert moved == chosen
    assert len(chosen) == outcome.facts["blocks"]
    assert 1 <= len(chosen) <= 2


def test_a_unit_is_seen_by_the_mean_over_its_positions() -> None:
    network, examples = convolutional(3), images(20)
    with drawn_from(1):
        units, activations, losses = probed(network, examples, LcodecParams(probes=20, noise=1e-9), run=Quiet())
    (batch,) = examples.batches(20)

    assert units == [("0", 0), ("0", 1), *(("4", row) for row in range(4)), *(("6", row) for row in range(3))]
    torch.testing.assert_close(activations[:, :2], network.get_submodule("0")(batch.inputs).mean((2, 3)).detach())
    torch.testing.assert_close(losses, cross_entropy(network(batch.inputs), batch.labels, reduction="none").detach())


def test_few_samples_are_probed_several_times(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    few = problem.forget.at(torch.arange(3))
    with drawn_from(1):
        _, activations, losses = probed(problem.build(0), few, LcodecParams(probes=8), run=Quiet())

    assert len(activations) == len(losses) == 8
    assert len(set(losses.tolist())) == 8


def test_it_is_refused_by_size_before_anything_is_allocated(problems: dict[Pattern, Problem]) -> None:
    """123 weights; a row of the first layer with its bias has 7 of them: 49 entries a unit."""
    problem = problems["A"]
    with pytest.raises(TooLarge, match=r"123 weights, and 122 are allowed"):
        lcodec(problem, LcodecParams(largest_network=122))
    with pytest.raises(TooLarge, match=r"entries of 8 bytes, and 48 are allowed"):
        lcodec(problem, LcodecParams(largest_hessian=48))


def test_the_request_is_refused_for_the_same_reason() -> None:
    network = MlpParams(input_shape=(FEATURES,), classes=CLASSES, layers=1)  # 21 weights
    assert LcodecParams().misfit(Deployed(network, 100)) is None
    assert "21 weights" in (LcodecParams(largest_network=20).misfit(Deployed(network, 100)) or "")


def test_a_loss_that_depends_on_nothing_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    sure = {name: torch.zeros_like(theta) for name, theta in problems["A"].old.items()}
    sure["2.bias"][0] = 1e4  # class 0 whatever comes

    with pytest.raises(NothingToDo, match="depends on no unit"):
        lcodec(replace(problems["A"], old=sure), LcodecParams())


@pytest.mark.parametrize("part", ["forget", "retain"])
def test_an_empty_set_is_refused(problems: dict[Pattern, Problem], part: str) -> None:
    nothing: Examples = cloud(1, 3).at(torch.arange(0))
    with pytest.raises(EmptyExamples, match="empty"):
        lcodec(replace(problems["A"], **{part: nothing}), LcodecParams())  # type: ignore[arg-type]
