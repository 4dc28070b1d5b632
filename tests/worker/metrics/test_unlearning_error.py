"""Metric `unlearning_error`: the paper's formula on a loss whose curvature is known."""

from collections.abc import Callable
from dataclasses import replace
from math import exp, sqrt

import pytest
import torch

from app.metrics.unlearning_error import UnlearningErrorParams
from worker.metrics.unlearning_error import foretold, unlearning_error
from worker.numerics.outcome import Bench
from worker.numerics.recipe import Recipe

MakeBench = Callable[..., Bench]


def test_the_formula_by_hand() -> None:
    assert foretold(0.1, 50, 2.0, 3.0) == pytest.approx(1.5)  # .01 · 50 · ½ · 2 · 3


def test_rate_steps_drift_and_curvature_are_those_of_the_training(make_bench: MakeBench) -> None:
    rows = [(2.0, 1)] * 3
    bench = make_bench({"forget": rows, "retain": rows}, after=0.5)
    ready = replace(bench, recipe=Recipe(0.2, epochs=4, batch_size=4), initial={"scale": torch.tensor([3.0])})
    (found,) = unlearning_error(ready, UnlearningErrorParams())

    def by_hand(scale: float) -> float:
        p = 1 / (1 + exp(-2 * scale))  # of label 1; the second derivative of −log p by the scale is 2² p (1 − p)
        return 0.04 * (4 * 2) / 2 * abs(scale - 3) * sqrt(4 * p * (1 - p))  # six samples: two steps an epoch

    assert (found.before, found.after) == pytest.approx((by_hand(1.0), by_hand(0.5)), rel=1e-4)
    assert found.no_op == pytest.approx(found.before)
    assert "proxy" in found.caveats[0]


@pytest.mark.parametrize("lacking", [{"recipe": None}, {"initial": None}, {"recipe": Recipe(0.1, 1, optimizer="adam")}])
def test_without_what_it_needs_there_is_no_finding(make_bench: MakeBench, lacking: dict[str, object]) -> None:
    rows = [(2.0, 1)] * 3
    bench = make_bench({"forget": rows, "retain": rows})
    ready = replace(bench, recipe=Recipe(0.1, 1), initial={"scale": torch.tensor([3.0])})
    assert unlearning_error(replace(ready, **lacking), UnlearningErrorParams()) == []  # type: ignore[arg-type]
