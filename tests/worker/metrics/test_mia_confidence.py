"""Metric `mia_confidence`, by hand."""

from collections.abc import Callable

import numpy as np
import pytest

from app.metrics.mia_confidence import MiaConfidenceParams
from worker.metrics.mia_confidence import largest_member_loss, mia_confidence
from worker.numerics.outcome import Bench

MakeBench = Callable[..., Bench]
RETAIN = [(5.0 + k / 10, 1) for k in range(20)]
TEST = [(1.0 + k / 100, 1) for k in range(20)]
FORGET = [(5.0, 1), (6.0, 1), (6.5, 1), (0.5, 1)]  # three look like members, one only just


def test_both_names_of_the_number_are_given(make_bench: MakeBench) -> None:
    member, efficacy = mia_confidence(
        make_bench({"retain": RETAIN, "test": TEST, "forget": FORGET}, golds=(1.0,)), MiaConfidenceParams()
    )

    assert (member.measure, member.before, member.after, member.no_op) == ("predicted_member", 0.75, 0.75, 0.75)
    assert (efficacy.measure, efficacy.after, efficacy.gold) == ("efficacy", 0.25, (0.25,))
    assert efficacy.interval == pytest.approx((1 - member.interval[1], 1 - member.interval[0]))
    assert (member.n, member.attack_feature, member.direction) == (4, "confidence", "gold")


def test_the_most_accurate_threshold_is_taken() -> None:
    # at .3: two of three members found, no mistake; at .9 all found, one of two mistaken
    assert largest_member_loss(np.array([0.1, 0.3, 0.9]), np.array([0.5, 1.5])) == 0.3


def test_where_no_threshold_helps_nobody_is_a_member() -> None:
    assert largest_member_loss(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == -np.inf


def test_a_forgotten_class_is_missing_from_the_attack_and_said_so(make_bench: MakeBench) -> None:
    sets = {"retain": RETAIN, "test": TEST, "forget": [(-5.0, 0)]}

    member, _ = mia_confidence(make_bench(sets, kind="class"), MiaConfidenceParams())

    assert "without classes 0" in member.caveats[0]


def test_without_retained_data_there_is_no_finding(make_bench: MakeBench) -> None:
    assert mia_confidence(make_bench({"forget": FORGET, "test": TEST}), MiaConfidenceParams()) == []
