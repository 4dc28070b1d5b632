"""Method `eu_k`: what is trained again, what stays, and that storing features changes nothing."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from app.methods.eu_k import EuKParams
from tests.worker.methods.conftest import RECIPE, build
from worker.methods import eu_k as module
from worker.methods.eu_k import eu_k
from worker.numerics.errors import Misfit
from worker.numerics.layers import halves, last_layers
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import derived, drawn_from
from worker.numerics.training import train


class Tree(nn.Module):
    """Not a plain sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = build(0)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.inner(x)
        return answer


def test_what_lies_below_is_bit_identical_and_the_head_forgets_where_it_was(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    weights = eu_k(problem, EuKParams(layers=1)).weights
    other = {name: torch.zeros_like(old) if name.startswith("2.") else old for name, old in problem.old.items()}

    assert {name for name, old in problem.old.items() if torch.equal(weights[name], old)} == {"0.weight", "0.bias"}
    again = eu_k(replace(problem, old=other), EuKParams(layers=1)).weights
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_stored_features_give_the_weights_that_the_whole_network_gives(
    problems: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = eu_k(problems["A"], EuKParams(layers=1))
    monkeypatch.setattr(module, "FEATURE_BYTES", 0)
    slow = eu_k(problems["A"], EuKParams(layers=1))

    assert (quick.facts["features_stored"], slow.facts["features_stored"]) == (1, 0)
    for name, theta in slow.weights.items():
        torch.testing.assert_close(quick.weights[name], theta, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("allowed", [0, 1 << 30])
def test_statistics_below_the_head_are_bit_identical_stored_features_or_not(
    with_statistics: dict[Pattern, Problem], monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    problem = with_statistics["A"]
    monkeypatch.setattr(module, "FEATURE_BYTES", allowed)

    outcome = eu_k(problem, EuKParams(layers=1))

    moved = {name for name, old in problem.old.items() if not torch.equal(outcome.weights[name], old)}
    assert moved == {"3.weight", "3.bias"}
    assert outcome.facts["selected_fraction"] == 39 / 147


def test_all_layers_again_is_retraining(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain
    weights = eu_k(problem, EuKParams(layers=2)).weights
    gold = train(build, RECIPE, problem.retain, seed=derived(problem.seed, "eu_k"))

    for name, theta in gold.items():
        torch.testing.assert_close(weights[name], theta, rtol=1e-4, atol=1e-5)


def test_there_must_be_as_many_layers(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(Misfit, match="2 layers"):
        eu_k(problems["A"], EuKParams(layers=3))


def test_what_is_no_sequence_is_not_cut() -> None:
    assert halves(Tree(), last_layers(Tree(), 1)) is None
    assert halves(Tree(), last_layers(Tree(), 2)) is None
    assert last_layers(Tree(), 1) == {"inner.2.weight", "inner.2.bias"}


def test_the_statistics_of_a_layer_go_with_it() -> None:
    with drawn_from(0):
        network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    names = last_layers(network, 2)
    found = halves(network, names)

    assert {"1.running_mean", "1.running_var", "1.num_batches_tracked"} < names
    assert found
    x = torch.randn(4, 2)
    assert torch.equal(found.head.eval()(found.trunk.eval()(x)), network.eval()(x))
    assert list(found.trunk.state_dict()) == ["0.weight", "0.bias"]
