"""Metric `mia`: known areas, equal class mix, an honest control."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from app.metrics.mia import MiaParams
from worker.metrics.mia import attack_accuracy, attack_auc, mia
from worker.numerics.outcome import Bench

MakeBench = Callable[..., Bench]
KNOWN = [(5.0 + k / 10, 1) for k in range(30)]  # small losses
UNKNOWN = [(1.0 + k / 100, 1) for k in range(30)]  # large ones


def test_separable_losses_are_found(make_bench: MakeBench) -> None:
    right, areas = mia(make_bench({"forget": KNOWN, "test": UNKNOWN}), MiaParams())

    assert (right.measure, areas.measure) == ("attack_accuracy", "attack_auc")
    assert right.before == right.no_op == areas.before == areas.after == areas.no_op == 1.0
    assert (areas.n, areas.direction, areas.attack_feature) == (60, "gold", "loss")
    assert areas.interval[0] > 0.8


def test_a_model_that_answers_nothing_leaks_nothing(make_bench: MakeBench) -> None:
    right, areas = mia(make_bench({"forget": KNOWN, "test": UNKNOWN}, after=0.0, golds=(0.0, 1.0)), MiaParams())

    assert areas.after == 0.5
    assert areas.gold == (0.5, 1.0)
    assert right.after == 0.5
    assert areas.before == 1.0


def test_losses_beyond_held_out_ones_fall_below_one_half(make_bench: MakeBench) -> None:
    _, areas = mia(make_bench({"forget": UNKNOWN, "test": KNOWN}), MiaParams())

    assert areas.after == 0.0


def test_area_by_hand() -> None:
    # pairs (.1,.2) won, (.1,.3) won, (.3,.2) lost, (.3,.3) tied: 2.5 of 4
    assert attack_auc(np.array([0.1, 0.3]), np.array([0.2, 0.3])) == 2.5 / 4


def test_the_attack_cannot_learn_from_noise() -> None:
    random = np.random.default_rng(0)
    shares = [attack_accuracy(random.normal(size=100), random.normal(size=100), folds=5, seed=k) for k in range(20)]

    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)


def test_samples_without_a_match_are_left_out_and_reported(make_bench: MakeBench) -> None:
    forget = [*KNOWN, *[(-5.0, 0)] * 10]

    _, areas = mia(make_bench({"forget": forget, "test": UNKNOWN[:20]}), MiaParams())

    assert areas.n == 40
    assert any(caveat.startswith("20 of 40 forgotten samples left out") for caveat in areas.caveats)


def test_the_control_draws_for_itself(make_bench: MakeBench) -> None:
    torch.manual_seed(0)
    noisy = [(float(x), 1) for x in torch.randn(200)]
    held_out = [(float(x), 1) for x in torch.randn(60)]

    _, areas = mia(make_bench({"forget": noisy, "test": held_out}), MiaParams())
    _, again = mia(make_bench({"forget": noisy, "test": held_out}), MiaParams())

    assert areas.before == areas.after
    assert areas.no_op != areas.before
    assert areas == again


def test_a_seed_of_any_size_will_do(make_bench: MakeBench) -> None:
    assert mia(make_bench({"forget": KNOWN, "test": UNKNOWN}, seed=2**63 - 1), MiaParams())


def test_each_kind_is_compared_with_its_own_held_out_set(make_bench: MakeBench) -> None:
    sets = {"forget": KNOWN, "test": UNKNOWN, "test_forget": UNKNOWN[:11], "test_extra": UNKNOWN[:13]}

    counts = {kind: mia(make_bench(sets, kind=kind), MiaParams())[0].n for kind in ("subjects", "class", "leakage")}

    assert counts == {"subjects": 60, "class": 22, "leakage": 26}


def test_nothing_to_compare_with_is_no_finding(make_bench: MakeBench) -> None:
    assert mia(make_bench({"forget": KNOWN}), MiaParams()) == []
    assert mia(make_bench({"forget": KNOWN, "test": [(1.0, 0)] * 9}), MiaParams()) == []
    assert mia(make_bench({"forget": KNOWN, "test": UNKNOWN}, kind="backdoor"), MiaParams()) == []
