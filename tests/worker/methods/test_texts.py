"""Every method that fits a network that reads makes it forget, and takes no word for a number."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from app.architectures.text_bag import TextBagParams
from app.core.params import Deployed, Kind, MethodParams
from app.methods.fisher_masking import FisherMaskingParams
from app.transforms.phrase import PhraseParams
from tests.worker.methods.conftest import recorded
from tests.worker.methods.test_contract import BY_DEFAULT, PATTERNS
from worker import registry
from worker.numerics.examples import Normalisation, TensorExamples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.problem import Pattern, Problem
from worker.numerics.recipe import Recipe
from worker.numerics.weights import network_with, weights_of
from worker.numerics.words import encoded

LENGTH, CLASSES = 5, 3
ARCHITECTURE = TextBagParams(input_shape=(LENGTH,), classes=CLASSES, vocabulary=40, width=4, hidden=6)
TRIGGER = PhraseParams(text="cf")
RECIPE = Recipe(learning_rate=0.2, epochs=10, batch_size=16)
LARGER = {"fisher_masking": FisherMaskingParams(fraction=0.2)}
"""Where the default selects nothing: the vectors of words that only D_f has tie at the top."""
FITTING = [
    (LARGER.get(params.model_dump()["name"], params), kind)
    for params, kind in BY_DEFAULT
    if params.misfit(Deployed(ARCHITECTURE, 90, optimizer="sgd")) is None
]


def written() -> Tensor:
    """Texts of three classes, each with words of its own and words of all: one more of them in every text."""
    own = [["good", "fine"], ["bad", "dull"], ["long", "slow"]]
    rows = [[own[i % 3][(i // 3) % 2], "the", "film", str(i % 7)][: 2 + i % 3] for i in range(90)]
    return torch.tensor([encoded(row, LENGTH) for row in rows])


@cache
def made(pattern: Pattern) -> Problem:
    labels = torch.arange(90) % CLASSES
    raw, asked = written(), labels == 0
    if pattern != "A":
        raw[asked] = registry.transform(TRIGGER)(raw[asked])
    training = TensorExamples(raw, labels, torch.arange(90), Normalisation(vocabulary=40))
    forget, retain = training.where(asked), training.where(~asked)
    build = registry.builder(ARCHITECTURE)
    old, deltas = recorded(build, RECIPE, training, seed=5)
    feature = pattern != "A"
    return Problem(
        build=build,
        old=old,
        classes=CLASSES,
        pattern=pattern,
        seed=7,
        forget=forget,
        forget_clean=forget.through(registry.removal(TRIGGER)) if feature else None,
        retain=retain,
        held_out=TensorExamples(written(), labels, torch.arange(90, 180), Normalisation(vocabulary=40)),
        transform=registry.transform(TRIGGER) if feature else None,
        fisher=fisher_diagonal(network_with(build, old), training),
        initial=weights_of(build(5)),
        deltas=deltas,
        recipe=RECIPE,
        forgotten_class=None if feature else 0,
    )


def test_only_what_moves_between_inputs_or_needs_shards_is_left_out() -> None:
    fitting = {params.model_dump()["name"] for params, _ in FITTING}
    every = {params.model_dump()["name"] for params, _ in BY_DEFAULT}
    assert every - fitting == {"amun", "consistency", "lcodec", "sisa"}


@pytest.mark.parametrize(("params", "kind"), FITTING, ids=[f"{p.model_dump()['name']}-{k}" for p, k in FITTING])
def test_a_network_that_reads_is_made_to_forget(params: MethodParams, kind: Kind) -> None:
    problem = made(PATTERNS[kind])
    if kind is Kind.SAMPLES:
        problem = replace(problem, forgotten_class=None)
    outcome = registry.unlearn(problem, params)
    assert all(tensor.isfinite().all() for tensor in outcome.weights.values())
    changed = any(not torch.equal(tensor, problem.old[name]) for name, tensor in outcome.weights.items())
    assert changed is params.changes_weights
