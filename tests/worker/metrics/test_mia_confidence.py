"""Metric `mia_confidence`, by hand, and on a network that has learned its samples by heart."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn

from app.metrics.mia_confidence import MiaConfidenceParams, ThresholdAttack
from tests.worker.metrics.conftest import Scaled
from tests.worker.numerics.recorder import Recorder
from worker.metrics.mia_confidence import largest_member_score, mia_confidence
from worker.numerics.examples import TensorExamples
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.randomness import drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.run import Quiet
from worker.numerics.training import train

MakeBench = Callable[..., Bench]
ATTACKS: tuple[ThresholdAttack, ...] = ("confidence", "correctness", "entropy", "modified_entropy")
ALL = MiaConfidenceParams(attacks=ATTACKS)
RETAIN = [(5.0 + k / 10, 1) for k in range(20)]
TEST = [(1.0 + k / 100, 1) for k in range(20)]
FORGET = [(5.0, 1), (6.0, 1), (6.5, 1), (0.5, 1)]  # three look like members, one only just


def shares(findings: Sequence[Finding]) -> dict[str | None, float]:
    return {f.attack_feature: f.after for f in findings if f.measure == "predicted_member"}


def of_three_classes(sets: dict[str, list[list[float]]]) -> Bench:
    """Samples of class 0 that are answered with these probabilities."""
    made = {
        name: TensorExamples(
            torch.tensor(rows).log(), torch.zeros(len(rows), dtype=torch.int64), torch.arange(len(rows))
        )
        for name, rows in sets.items()
    }
    same = Model(lambda _: Scaled(), {"scale": torch.ones(1)})
    return Bench(same, same, (), made, "samples", 3, 0, Quiet())


def test_both_names_of_the_number_are_given(make_bench: MakeBench) -> None:
    member, efficacy = mia_confidence(
        make_bench({"retain": RETAIN, "test": TEST, "forget": FORGET}, golds=(1.0,)), MiaConfidenceParams()
    )

    assert (member.measure, member.before, member.after, member.no_op) == ("predicted_member", 0.75, 0.75, 0.75)
    assert (efficacy.measure, efficacy.after, efficacy.gold) == ("efficacy", 0.25, (0.25,))
    assert efficacy.interval == pytest.approx((1 - member.interval[1], 1 - member.interval[0]))
    assert (member.n, member.attack_feature, member.direction) == (4, "confidence", "gold")


def test_each_attack_gives_a_pair_of_its_own_in_the_order_asked(make_bench: MakeBench) -> None:
    bench = make_bench({"retain": RETAIN, "test": TEST, "forget": FORGET}, golds=(1.0, 0.5))
    backwards = mia_confidence(bench, MiaConfidenceParams(attacks=ATTACKS[::-1]))
    assert [(f.attack_feature, f.measure) for f in backwards] == [
        (attack, measure) for attack in ATTACKS[::-1] for measure in ("predicted_member", "efficacy")
    ]
    for member, efficacy in zip(backwards[::2], backwards[1::2], strict=True):
        assert efficacy == replace(
            member,
            measure="efficacy",
            before=1 - member.before,
            after=1 - member.after,
            no_op=1 - member.no_op,
            gold=tuple(1 - gold for gold in member.gold),
            interval=(1 - member.interval[1], 1 - member.interval[0]),
        )
    assert backwards[-2:] == mia_confidence(bench, MiaConfidenceParams())  # whatever stands beside it


def test_the_attacks_go_by_what_they_say(make_bench: MakeBench) -> None:
    """Sure and right, sure and wrong, unsure and right; every threshold lies between 1.2 and 5."""
    forget = [(6.0, 1), (-6.0, 1), (0.5, 1)]
    found = mia_confidence(make_bench({"retain": RETAIN, "test": TEST, "forget": forget}), ALL)
    assert shares(found) == pytest.approx(
        {"confidence": 1 / 3, "correctness": 2 / 3, "entropy": 2 / 3, "modified_entropy": 1 / 3}
    )


def test_the_modified_entropy_sees_how_the_rest_is_spread() -> None:
    """All have p_y = ½. Members spread the rest: M = .49 against .69, but H = 1.04 against .69."""
    spread, lumped = [0.5, 0.25, 0.25], [0.5, 0.498, 0.002]
    found = mia_confidence(
        of_three_classes({"retain": [spread] * 5, "test": [lumped] * 5, "forget": [spread] * 3}), ALL
    )
    assert shares(found) == {"confidence": 0.0, "correctness": 1.0, "entropy": 0.0, "modified_entropy": 1.0}


def test_without_a_threshold_nothing_is_fitted_drawn_or_warned_of(make_bench: MakeBench) -> None:
    bench = make_bench({"retain": RETAIN, "test": TEST, "forget": [(5.0, 1), (-5.0, 1), (5.0, 0)]}, after=-1.0)
    found = {f.attack_feature: f for f in mia_confidence(bench, ALL) if f.measure == "predicted_member"}
    right = found["correctness"]
    assert (right.before, right.after, right.no_op) == pytest.approx((1 / 3, 2 / 3, 1 / 3))
    assert right.caveats == ()
    assert "15 points between seeds" in found["entropy"].caveats[0]
    assert "20 samples a side only" in found["modified_entropy"].caveats[-1]


@cache
def _by_heart() -> Bench:
    """Labels that nothing foretells: who knows them has seen them. Before saw D_f, gold did not."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(500, 20, generator=generator), torch.randint(0, 5, (500,), generator=generator)

    def build(seed: int) -> nn.Module:
        with drawn_from(seed):
            return nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 5))

    def rows(first: int, last: int) -> TensorExamples:
        return TensorExamples(inputs[first:last], labels[first:last], torch.arange(first, last))

    fit = partial(train, build, Recipe(learning_rate=0.1, epochs=60, batch_size=32), seed=1)
    before, gold = Model(build, fit(rows(0, 250))), Model(build, fit(rows(50, 250)))
    sets = {"forget": rows(0, 50), "retain": rows(50, 250), "test": rows(250, 500)}
    return Bench(before, gold, (gold,), sets, "samples", 5, 0, Quiet())


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_learned_by_heart_is_found_and_gone_where_it_was_never_seen(attack: ThresholdAttack) -> None:
    member, efficacy = mia_confidence(_by_heart(), MiaConfidenceParams(attacks=(attack,)))
    assert member.before > 0.9
    assert member.no_op > 0.9
    assert member.after < 0.6
    assert member.gold == (member.after,)
    assert efficacy.before < 0.1


def test_more_attacks_ask_no_model_again(make_bench: MakeBench) -> None:
    def asked(params: MiaConfidenceParams) -> int:
        run = Recorder()
        bench = make_bench({"retain": RETAIN, "test": TEST, "forget": FORGET}, golds=(0.5,))
        mia_confidence(replace(bench, run=run), params)
        return sum(phase == "evaluate" for phase, *_ in run.told)

    assert asked(ALL) == asked(MiaConfidenceParams()) == 9  # three models, three sets


def test_the_most_accurate_threshold_is_taken() -> None:
    # at .3: two of three members found, no mistake; at .9 all found, one of two mistaken
    assert largest_member_score(np.array([0.1, 0.3, 0.9]), np.array([0.5, 1.5])) == 0.3


def test_where_no_threshold_helps_nobody_is_a_member() -> None:
    assert largest_member_score(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == -np.inf


def test_a_forgotten_class_is_missing_from_the_attack_and_said_so(make_bench: MakeBench) -> None:
    sets = {"retain": RETAIN, "test": TEST, "forget": [(-5.0, 0)]}

    member, _ = mia_confidence(make_bench(sets, kind="class"), MiaConfidenceParams())

    assert "without classes 0" in member.caveats[0]


def test_without_retained_data_there_is_no_finding(make_bench: MakeBench) -> None:
    assert mia_confidence(make_bench({"forget": FORGET, "test": TEST}), ALL) == []
