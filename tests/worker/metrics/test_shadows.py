"""Shadow models: half of them saw a sample and half did not, whichever set it is from; the online attacks by hand."""

from collections.abc import Callable
from dataclasses import replace
from math import exp, log, pi, sqrt
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from app.metrics.lira import LiraParams
from app.metrics.rmia import RmiaParams
from worker import references
from worker.attacks import TIMES, prepared
from worker.metrics.lira import lira, shown
from worker.metrics.rmia import ratio, rmia
from worker.numerics.outcome import Bench
from worker.numerics.recipe import Recipe
from worker.references import shadows

MakeBench = Callable[..., Bench]
SETS = {
    "forget": [(x / 10, x % 2) for x in range(1, 9)],
    "retain": [(x / 7, x % 2) for x in range(1, 12)],
    "test": [(x / 9, x % 2) for x in range(1, 13)],
}


@pytest.fixture
def bench(make_bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, list[Any]]:
    """Training takes note of what it is given and makes a model of its seed."""
    seen: list[Any] = []

    def train(_: Any, __: Any, examples: Any, *, seed: int, **___: Any) -> dict[str, torch.Tensor]:
        seen.append(set(examples.positions.tolist()))
        return {"scale": torch.tensor([1.0 + seed % 97 / 97])}

    monkeypatch.setattr(references, "train", train)
    return replace(make_bench(SETS, after=0.5), recipe=Recipe(0.1, 1)), seen


def test_every_sample_is_in_half_of_the_shadow_models_and_they_are_trained_once(bench: Any) -> None:
    made, seen = bench
    found = shadows(made, 4, "test")
    assert found is not None
    for name, inside in found.inside.items():
        assert inside.shape == (4, len(SETS[name]))
        assert (inside.sum(axis=0) == 2).all()
        for k, trained_on in enumerate(seen):  # what is said to be inside is what it was trained on
            positions = made.sets[name].positions.numpy()
            assert set(positions[inside[k]].tolist()) == trained_on & set(positions.tolist())
    shadows(made, 4, "test")
    assert len(seen) == 4
    assert shadows(replace(made, recipe=None), 4, "test") is None


def test_of_every_sample_those_models_are_taken_that_saw_it() -> None:
    phis = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    by = np.array([[True, False], [False, True], [True, True], [False, False]])
    assert shown(phis, by).tolist() == [[1.0, 4.0], [5.0, 6.0]]


def test_the_online_likelihood_ratio_agrees_with_a_loop_over_samples(bench: Any) -> None:
    """Carlini et al. 2022, algorithm 1 with one variance for all: written here from the paper."""
    made, _ = bench
    area, *_ = lira(made, LiraParams(references="shadows", models=4))
    found = shadows(made, 4, "test")
    assert found is not None

    def phi(scale: float, row: tuple[float, int]) -> float:
        p = 1 / (1 + exp(-scale * row[0]))
        p = p if row[1] == 1 else 1 - p
        return log(p / (1 - p))

    scales = [float(model.weights["scale"]) for model in found.models]
    groups = [[[phi(s, row) for s in scales] for row in SETS[name]] for name in ("forget", "test")]
    masks = [found.inside[name].T.tolist() for name in ("forget", "test")]

    def of(side: int, sample: int, *, inside: bool) -> list[float]:
        return [v for v, saw in zip(groups[side][sample], masks[side][sample], strict=True) if saw is inside]

    chosen = [[(0, i) for i in range(8)], _drawn(made)]
    everyone = [*chosen[0], *chosen[1]]
    spread = {
        inside: sqrt(np.mean([np.var(of(*who, inside=inside), ddof=1) for who in everyone])) for inside in (True, False)
    }

    def score(who: tuple[int, int], scale: float) -> float:
        value = phi(scale, SETS["forget" if who[0] == 0 else "test"][who[1]])

        def density(*, inside: bool) -> float:
            mu, sigma = float(np.mean(of(*who, inside=inside))), spread[inside]
            return exp(-((value - mu) ** 2) / (2 * sigma**2)) / (sigma * sqrt(2 * pi))

        return log(density(inside=True)) - log(density(inside=False))

    members, others = ([score(who, 0.5) for who in side] for side in chosen)
    pairs = [(m > o) + (m == o) / 2 for m in members for o in others]
    assert area.after == pytest.approx(np.mean(pairs), abs=1e-6)
    assert "half saw" in (area.attack_feature or "")


def _drawn(bench: Bench) -> list[tuple[int, int]]:
    attack = prepared(bench, "lira", times=TIMES)  # which held-out samples the metric draws
    assert attack is not None
    return [(1, int(i)) for i in attack.draw.others]


def test_the_online_ratio_is_that_to_the_mean_of_all_shadow_models() -> None:
    inside, outside = np.array([[0.8], [0.6]]), np.array([[0.2], [0.4]])
    found = ratio(np.array([0.9]), np.concatenate([inside, outside]), None)
    assert found == pytest.approx([0.9 / ((0.7 + 0.3) / 2)], abs=1e-12)  # Zarifzadeh et al. 2024, eq. 6


def test_both_attacks_share_the_shadow_models(bench: Any) -> None:
    made, seen = bench
    lira(made, LiraParams(references="shadows", models=4))
    (found,) = rmia(made, RmiaParams(references="shadows", models=2))
    assert len(seen) == 4
    assert 0 <= found.after <= 1


@pytest.mark.parametrize(("params", "models"), [(LiraParams, 2), (LiraParams, 5), (RmiaParams, 3)])
def test_shadow_models_come_in_pairs(params: Any, models: int) -> None:
    with pytest.raises(ValidationError, match="pairs"):
        params(references="shadows", models=models)
