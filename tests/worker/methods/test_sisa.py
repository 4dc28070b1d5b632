"""Method `sisa`: exact, member by member."""

from dataclasses import replace

import pytest
import torch

from app.architectures.mlp import MlpParams
from app.architectures.sisa import SisaNetworkParams
from app.core.params import Deployed
from app.methods.sisa import SisaParams
from tests.worker.methods.conftest import CLASSES, FEATURES, RECIPE, cloud
from worker import registry
from worker.methods.sisa import sisa
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.examples import Examples
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import derived
from worker.numerics.sharding import shard_of
from worker.numerics.training import train
from worker.numerics.weights import Weights

SHARDS = 4
MEMBER = MlpParams(input_shape=(FEATURES,), classes=CLASSES, layers=2, width=12)
ARCHITECTURE = SisaNetworkParams(input_shape=(FEATURES,), classes=CLASSES, member=MEMBER, shards=SHARDS)
BUILD = registry.builder(ARCHITECTURE)
DEPLOYED_SEED = 5


@pytest.fixture(scope="module")
def training() -> Examples:
    return cloud(1, 160)


@pytest.fixture(scope="module")
def problem(training: Examples) -> Problem:
    """Forget samples 0, 6 and 7: two are at home in one shard, the third in another."""
    gone = torch.isin(training.positions, torch.tensor([0, 6, 7]))
    assert shard_of(training.positions[gone], SHARDS).tolist() == [0, 0, 3]
    old = train(BUILD, RECIPE, training, seed=DEPLOYED_SEED)
    forget, retain = training.where(gone), training.where(~gone)
    return Problem(BUILD, old, CLASSES, "A", 7, forget=forget, retain=retain, recipe=RECIPE)


def member(weights: Weights, shard: int) -> Weights:
    return {name: tensor for name, tensor in weights.items() if name.startswith(f"shards.{shard}.")}


def same(left: Weights, right: Weights) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_every_member_is_the_one_trained_from_scratch_without_what_is_forgotten(problem: Problem) -> None:
    """Bit for bit, by the seed that it was trained with: the deployed network's, or the request's."""
    assert problem.retain
    fresh = train(BUILD, RECIPE, problem.retain, seed=derived(problem.seed, "sisa"))
    never_saw = train(BUILD, RECIPE, problem.retain, seed=DEPLOYED_SEED)

    outcome = sisa(problem, SisaParams())

    for shard in range(SHARDS):
        expected = fresh if shard in {0, 3} else never_saw
        assert same(member(outcome.weights, shard), member(expected, shard))
    assert outcome.facts["trained_shards"] == "0, 3"
    assert outcome.facts["members_trained"] == 2


def test_members_that_never_saw_it_stay_bit_for_bit(problem: Problem) -> None:
    weights = sisa(problem, SisaParams()).weights
    kept = [shard for shard in range(SHARDS) if same(member(weights, shard), member(problem.old, shard))]
    assert kept == [1, 2]


def test_retraining_a_network_of_shards_goes_shard_by_shard(problem: Problem) -> None:
    """So a gold model is what `sisa` would have made of all members."""
    assert problem.retain
    gold = train(BUILD, RECIPE, problem.retain, seed=3)
    home = shard_of(problem.retain.positions, SHARDS)
    one = train(registry.builder(MEMBER), RECIPE, problem.retain.where(home == 2), seed=derived(3, "member", 2))
    assert same({f"shards.2.{name}": tensor for name, tensor in one.items()}, member(gold, 2))


def test_a_network_without_shards_is_refused(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(Misfit, match="no shards"):
        sisa(problems["A"], SisaParams())


def test_nothing_to_forget_and_nothing_to_keep_are_refused(problem: Problem) -> None:
    assert problem.forget
    assert problem.retain
    with pytest.raises(EmptyExamples, match="D_f is empty"):
        sisa(replace(problem, forget=problem.forget.at(torch.arange(0))), SisaParams())
    others = problem.retain.where(shard_of(problem.retain.positions, SHARDS) != 3)
    with pytest.raises(EmptyExamples, match="shard 3 of 4"):
        sisa(replace(problem, retain=others), SisaParams())


def test_it_fits_shards_that_have_stayed_apart() -> None:
    params = SisaParams()
    assert params.misfit(Deployed(ARCHITECTURE, 100, frozenset({"sisa", "retrain"}))) is None
    assert "not shards" in (params.misfit(Deployed(MEMBER, 100)) or "")
    assert "rld" in (params.misfit(Deployed(ARCHITECTURE, 100, frozenset({"sisa", "rld"}))) or "")
