"""Method `amun`: how far the boundary is, what is learned there, and what is not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from app.core.params import Kind, Need
from app.methods.amun import AmunParams
from worker.methods import amun as module
from worker.methods.amun import amun, attacked, closest
from worker.numerics.errors import EmptyExamples, ForgetsTooMuch, NothingToDo
from worker.numerics.examples import Batch, Examples, Normalisation, TensorExamples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.run import Quiet
from worker.numerics.weights import Weights, network_with


def line() -> nn.Linear:
    """Class 0 left of x₁ = 0, class 1 right of it, sure of itself beyond float32."""
    network = nn.Linear(2, 2, bias=False)
    network.load_state_dict({"weight": torch.tensor([[-500.0, 0.0], [500.0, 0.0]])})
    return network


def points(*x: tuple[float, float], normalisation: Normalisation | None = None) -> TensorExamples:
    raw = torch.tensor(x)
    return TensorExamples(raw, (raw[:, 0] > 0).long(), torch.arange(len(x)), normalisation or Normalisation())


def right(problem: Problem, weights: Weights, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())


def test_the_attack_goes_straight_to_the_boundary_and_no_further_than_its_radius() -> None:
    x = torch.tensor([[1.0, 0.3], [-2.0, 0.7]])
    z = attacked(line(), x, torch.tensor([1, 0]), radius=1.5, steps=10)

    torch.testing.assert_close(z, torch.tensor([[-0.5, 0.3], [-0.5, 0.7]]))


def test_it_moves_also_where_the_network_is_sure_beyond_its_floats() -> None:
    """There cross entropy has a gradient of exactly 0."""
    x = torch.tensor([[1.0, 0.0]], requires_grad=True)
    (g,) = torch.autograd.grad(nn.functional.cross_entropy(line()(x), torch.tensor([1])), x)

    assert not g.any()
    assert attacked(line(), x.detach(), torch.tensor([1]), radius=2.0, steps=5)[0, 0] == -1


def test_images_stay_images() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    x = torch.rand(3, 1, 2, 2)

    z = attacked(network, x, torch.zeros(3, dtype=torch.int64), radius=50.0, steps=5)

    assert ((z == 0) | (z == 1)).any()
    assert 0 <= float(z.min()) <= float(z.max()) <= 1


def test_the_radius_doubles_until_the_network_is_mistaken_and_no_further() -> None:
    """0.1 away: found at 0.15. 0.25 away: at 0.15·2. What is mistaken already stays where it is."""
    examples = replace(points((0.1, 1.0), (-0.25, 2.0), (0.4, 3.0)), labels=torch.tensor([1, 0, 0]))
    found, distance = closest(line(), examples, AmunParams(radius=0.15, attack_steps=10), run=Quiet())

    torch.testing.assert_close(found.raw, torch.tensor([[-0.05, 1.0], [0.05, 2.0], [0.4, 3.0]]))
    assert found.labels.tolist() == [0, 1, 1]
    assert distance == pytest.approx(0.15)


def test_distances_are_of_raw_inputs() -> None:
    """Normalised by 100: the boundary lies at 0.2 of the raw input."""
    examples = points((0.25, 0.0), normalisation=Normalisation((0.2,), (0.01,)))
    found, _ = closest(line(), examples, AmunParams(radius=0.1, attack_steps=10), run=Quiet())
    (batch,) = found.batches(10)

    torch.testing.assert_close(found.raw, torch.tensor([[0.15, 0.0]]))
    torch.testing.assert_close(batch.inputs, torch.tensor([[-5.0, -20.0]]))


def test_a_sample_that_is_never_mistaken_is_left_out_and_if_none_is_it_is_a_failure() -> None:
    params = AmunParams(radius=0.2, doublings=1)
    found, _ = closest(line(), points((0.1, 0.0), (9.0, 0.0)), params, run=Quiet())

    assert found.positions.tolist() == [0]
    with pytest.raises(NothingToDo, match="radius or doublings"):
        closest(line(), points((9.0, 0.0)), params, run=Quiet())


def taught(problem: Problem, params: AmunParams, monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    """Every (position, label) that was learned."""
    seen: set[tuple[int, int]] = set()

    def cross_entropy(network: nn.Module, batch: Batch) -> Tensor:
        seen.update(zip(batch.positions.tolist(), batch.labels.tolist(), strict=True))
        return nn.functional.cross_entropy(network(batch.inputs), batch.labels)

    monkeypatch.setattr(module, "cross_entropy", cross_entropy)
    amun(problem, params)
    return seen


def test_no_true_label_of_d_f_is_learned_and_every_one_of_d_r_is(
    problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = problems["A"]
    assert problem.forget
    assert problem.retain
    labels = dict(taught(problem, AmunParams(), monkeypatch))

    assert labels.keys() == {*problem.forget.positions.tolist(), *problem.retain.positions.tolist()}
    assert {labels[position] for position in problem.forget.positions.tolist()} == {1, 2}
    for position, label in zip(problem.retain.positions.tolist(), problem.retain.labels.tolist(), strict=True):
        assert labels[position] == label


def test_without_d_r_only_the_examples_are_learned(
    problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, params = problems["A"], AmunParams(use_retain=False)
    assert problem.forget

    assert {position for position, _ in taught(problem, params, monkeypatch)} == set(problem.forget.positions.tolist())
    assert params.needs(Kind.CLASS) == {Need.FORGET, Need.RECIPE}


def test_a_class_is_forgotten_and_the_others_are_not(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    new = amun(problem, AmunParams(rate_factor=1, epochs=20)).weights

    assert right(problem, new, problem.forget) < right(problem, problem.old, problem.forget) - 0.2
    assert right(problem, new, problem.retain) > 0.85


def test_more_to_forget_than_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    with pytest.raises(ForgetsTooMuch, match="retrain"):
        amun(replace(problem, forget=problem.retain, retain=problem.forget), AmunParams())


def test_nothing_to_forget_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    for use_retain in (True, False):
        with pytest.raises(EmptyExamples, match="D_f"):
            amun(replace(problem, forget=problem.forget.at(torch.arange(0))), AmunParams(use_retain=use_retain))
