"""Method `salun`: the mask holds, the soft variant gives back, and D_f learns wrong labels."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from app.methods.salun import SalunParams
from worker.methods.salun import drawn_back, salun
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.examples import Examples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.saliency import mean_gradient
from worker.numerics.selection import select, threshold
from worker.numerics.weights import Weights, network_with


def right(problem: Problem, weights: Weights, examples: Examples | None) -> float:
    assert examples
    (batch,) = examples.batches(1000)
    return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())


def test_only_the_salient_weights_move_even_under_weight_decay(problems: dict[Pattern, Problem]) -> None:
    problem = replace(problems["A"], recipe=Recipe(learning_rate=0.1, epochs=8, batch_size=16, weight_decay=0.1))
    assert problem.forget
    gradient = mean_gradient(network_with(problem.build, problem.old), problem.forget)
    scores = {name: g.abs() for name, g in gradient.items()}
    masks = select(scores, threshold(scores, 0.3)).masks

    outcome = salun(problem, SalunParams(fraction=0.3))

    assert outcome.facts["selected"] == sum(int(mask.sum()) for mask in masks.values()) == round(0.3 * 123)
    for name, mask in masks.items():
        assert torch.equal(outcome.weights[name][~mask], problem.old[name][~mask])
        assert not mask.any() or (outcome.weights[name] != problem.old[name])[mask].any()


@pytest.mark.parametrize("variant", ["hard", "soft"])
def test_a_class_is_forgotten_and_the_others_are_not(problems: dict[Pattern, Problem], variant: str) -> None:
    problem = problems["A"]
    params = {"variant": variant, "retain_strength": 1, "learning_rate": 0.05, "epochs": 5}
    new = salun(problem, SalunParams.model_validate(params)).weights

    assert right(problem, new, problem.forget) < 0.3
    assert right(problem, new, problem.retain) > 0.85


def test_the_soft_variant_moves_fewer_weights_the_higher_the_price(problems: dict[Pattern, Problem]) -> None:
    moved = [
        int(
            salun(
                problems["A"],
                SalunParams(variant="soft", retain_strength=1, learning_rate=0.05, epochs=2, sparsity=price),
            ).facts["selected"]
        )
        for price in (0.0, 0.1, 0.3)
    ]

    assert 123 == moved[0] > moved[1] > moved[2] > 0


def test_drawing_back_shortens_every_move_and_undoes_the_short_ones() -> None:
    network = nn.Linear(4, 1, bias=False)
    network.load_state_dict({"weight": torch.tensor([[1.5, 0.25, 0.875, 2.0]])})

    drawn_back(network, {"weight": torch.tensor([[1.0, 1.0, 1.0, 2.0]])}, 0.25)

    assert network.weight.tolist() == [[1.25, 0.5, 1.0, 2.0]]


def test_a_price_beyond_every_move_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(NothingToDo):
        salun(problems["A"], SalunParams(variant="soft", sparsity=1e6))


def test_d_f_may_be_larger_than_d_r(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    swapped = replace(problem, forget=problem.retain, retain=problem.forget)

    assert salun(swapped, SalunParams()).facts["selected"] == round(0.5 * 123)


@pytest.mark.parametrize("part", ["forget", "retain"])
def test_an_empty_set_is_an_error(problems: dict[Pattern, Problem], part: str) -> None:
    problem = problems["A"]
    assert problem.forget
    nothing = problem.forget.at(torch.tensor([], dtype=torch.int64))
    emptied = replace(problem, forget=nothing) if part == "forget" else replace(problem, retain=nothing)

    with pytest.raises(EmptyExamples):
        salun(emptied, SalunParams())


def test_a_loss_without_a_gradient_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    sure = {name: torch.zeros_like(theta) for name, theta in problems["A"].old.items()}
    sure["2.bias"][0] = 1e4  # class 0 whatever comes

    with pytest.raises(NothingToDo, match="salient"):
        salun(replace(problems["A"], old=sure), SalunParams())
