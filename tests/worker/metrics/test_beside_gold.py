"""Metrics `divergence`, `weight_distance`, `tow` and `backdoor_success`, by hand."""

from collections.abc import Callable
from math import log, sqrt

import pytest
import torch

from app.metrics.backdoor_success import BackdoorSuccessParams
from app.metrics.divergence import DivergenceParams
from app.metrics.tow import TowParams
from app.metrics.weight_distance import WeightDistanceParams
from worker.metrics.backdoor_success import backdoor_success
from worker.metrics.divergence import activation_distance, divergence, jensen_shannon
from worker.metrics.tow import closeness, tow
from worker.metrics.weight_distance import weight_distance
from worker.numerics.outcome import Bench

MakeBench = Callable[..., Bench]
ROWS = [(1.0, 1), (-2.0, 1), (3.0, 0)]


def test_jensen_shannon_is_ln_2_at_most_and_reaches_it_where_nothing_is_shared() -> None:
    p = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.75, 0.25]], dtype=torch.float64)
    q = torch.tensor([[0.0, 1.0], [0.5, 0.5], [0.25, 0.75]], dtype=torch.float64)
    third = 0.75 * log(0.75 / 0.5) + 0.25 * log(0.25 / 0.5)
    assert jensen_shannon(p, q).tolist() == pytest.approx([log(2), 0.0, third], abs=1e-12)
    assert jensen_shannon(p, q).tolist() == jensen_shannon(q, p).tolist()


def test_activation_distance_by_hand() -> None:
    p, q = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    assert activation_distance(p, q).tolist() == pytest.approx([sqrt(2), 0.0])


def test_divergences_are_averaged_over_golds_beside_their_own(make_bench: MakeBench) -> None:
    distance, shannon = divergence(make_bench({"forget": ROWS}, after=0.5, golds=(0.5, 2.0)), DivergenceParams())
    alone, _ = divergence(make_bench({"forget": ROWS}, after=0.5, golds=(0.5,)), DivergenceParams())
    assert alone.after == 0.0
    assert alone.gold == ()
    assert "a single retrained model" in alone.caveats[0]
    assert distance.after == pytest.approx(distance.gold[0] / 2)
    assert shannon.after < log(2)
    assert divergence(make_bench({"forget": ROWS}), DivergenceParams()) == []


def test_the_verification_error_by_hand(make_bench: MakeBench) -> None:
    (found,) = weight_distance(make_bench({}, after=4.0, golds=(2.0, 5.0)), WeightDistanceParams())
    assert (found.before, found.after, found.gold) == (2.5, 1.5, (3.0,))  # |1−2|, |1−5|; |4−2|, |4−5|; |2−5|
    assert found.n == 1
    assert weight_distance(make_bench({}), WeightDistanceParams()) == []


def test_the_tug_of_war_by_hand(make_bench: MakeBench) -> None:
    assert closeness([0.9, 1.0, 0.8], [0.8, 1.0, 0.9]) == pytest.approx(0.81)
    sets = {"forget": [(1.0, 1)], "retain": [(1.0, 1), (-1.0, 1)], "test": [(1.0, 1)]}
    (found,) = tow(make_bench(sets, after=-1.0, golds=(1.0, 2.0)), TowParams())
    assert (found.before, found.after, found.gold) == (1.0, 0.0, (1.0, 1.0))
    assert tow(make_bench(sets), TowParams()) == []
    assert tow(make_bench({"forget": [(1.0, 1)]}, golds=(1.0,)), TowParams()) == []


def test_the_triggers_own_class_is_no_success(make_bench: MakeBench) -> None:
    # the trigger's class is 1; of three samples of class 0 two are answered 1; the two of class 1 do not count
    held_out = [(1.0, 0), (2.0, 0), (-1.0, 0), (5.0, 1), (6.0, 1)]
    sets = {"forget": [(1.0, 1)], "test_extra": held_out}
    success, robust = backdoor_success(make_bench(sets, kind="backdoor", after=-1.0), BackdoorSuccessParams())
    assert (success.before, success.after, success.n) == (2 / 3, 1 / 3, 3)
    assert (robust.before, robust.after) == (1 / 3, 2 / 3)
    assert backdoor_success(make_bench(sets, kind="class"), BackdoorSuccessParams()) == []
    only = {"forget": [(1.0, 1)], "test_extra": [(1.0, 1)]}
    assert backdoor_success(make_bench(only, kind="backdoor"), BackdoorSuccessParams()) == []
