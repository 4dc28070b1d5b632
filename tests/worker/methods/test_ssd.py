"""Method `ssd`: what shrinks, what stays, and the α that are refused."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from app.methods.ssd import SsdParams
from worker.methods.ssd import ssd
from worker.numerics.dampening import dampen
from worker.numerics.errors import ForgetsTooMuch, Misfit, NothingToDo
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.problem import Pattern, Problem
from worker.numerics.weights import network_with


def test_every_weight_is_the_papers(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    assert problem.fisher
    over_d = problem.fisher.diagonal()
    over_d_f = fisher_diagonal(network_with(problem.build, problem.old), problem.forget).diagonal()

    outcome = ssd(problem, SsdParams(selection=1.5, dampening=0.5))

    chosen = {name: over_d_f[name] > 1.5 * over_d[name] for name in over_d}
    for name, theta in problem.old.items():
        expected = dampen(theta, over_d[name], over_d_f[name], chosen[name], strength=0.5)
        assert torch.allclose(outcome.weights[name], expected, rtol=1e-6)
        assert torch.equal(outcome.weights[name][~chosen[name]], theta[~chosen[name]])
    assert outcome.facts["selected"] == sum(int(mask.sum()) for mask in chosen.values()) > 0


def test_the_class_loses_and_the_others_hardly(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.forget
    assert problem.retain
    network = network_with(problem.build, ssd(problem, SsdParams(fraction=0.3, dampening=0.01)).weights)
    (forget,), (retain,) = problem.forget.batches(1000), problem.retain.batches(1000)

    assert (network(forget.inputs).argmax(1) == forget.labels).float().mean() < 0.5  # of .9
    assert (network(retain.inputs).argmax(1) == retain.labels).float().mean() > 0.85  # of .94


def test_the_facts_say_which_alpha_the_fraction_was_and_its_bound(problems: dict[Pattern, Problem]) -> None:
    facts = ssd(problems["A"], SsdParams(fraction=0.2)).facts

    assert facts["selected_fraction"] == pytest.approx(0.2, abs=0.01)
    assert 0 < float(facts["alpha"]) < float(facts["alpha_bound"]) == pytest.approx(3.0)
    assert 0 < int(facts["dampened"]) <= int(facts["selected"])


def test_the_published_alpha_is_refused_with_the_reason(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(Misfit, match=r"\|D\| / \|D_f\|"):
        ssd(problems["A"], SsdParams(selection=10))


def test_a_strength_that_shrinks_nothing_is_a_failure(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(NothingToDo):
        ssd(problems["A"], SsdParams(dampening=100))


def test_weights_that_d_f_does_not_feel_are_a_failure(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.fisher
    stored = {name: torch.full_like(total, torch.inf) for name, total in problem.fisher.sums.items()}

    with pytest.raises(NothingToDo, match="nowhere"):
        ssd(replace(problem, fisher=replace(problem.fisher, sums=stored)), SsdParams())


def test_more_than_half_of_the_data_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.fisher
    with pytest.raises(ForgetsTooMuch):
        ssd(replace(problem, fisher=replace(problem.fisher, count=60)), SsdParams())


def test_two_rules_for_one_selection_are_refused() -> None:
    with pytest.raises(ValidationError, match="not both"):
        SsdParams(fraction=0.1, selection=2)
