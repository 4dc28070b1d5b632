"""Findings of one measure by several attacks: told apart for readers, and nothing to the verdict."""

import pytest

from app.core.params import Kind
from app.domain.findings import BY_ATTACK, to_be_told_apart
from app.domain.rules import RULES
from app.domain.rungs import assess
from app.domain.verdict import decidable, judge, summary, verdict
from tests.app.domain.test_verdict import contrast, finding, samples

ATTACKS = ("confidence", "correctness", "entropy", "modified_entropy")
ALARMING = [
    finding(measure, "forget", share, attack_feature=attack, before=share, no_op=share)
    for attack in ATTACKS
    for measure, share in (("predicted_member", 1.0), ("efficacy", 0.0))
]


@pytest.mark.parametrize("value", [0.0, 0.03, 0.2])
@pytest.mark.parametrize("kind", list(Kind))
def test_no_verdict_rests_on_a_thresholded_share(kind: Kind, value: float) -> None:
    sets = ("test_forget", "retain_extra", "forget_clean")
    alone = [*samples(contrast(value), contrast(value)), *(finding("accuracy", on, 0.9) for on in sets)]
    for findings in ([*alone, *ALARMING], [*ALARMING, *alone]):
        judged = judge(kind, findings)
        assert [f for f in judged if f.measure not in BY_ATTACK] == judge(kind, alone)
        assert all(f.outcome == "not_judged" for f in judged if f.measure in BY_ATTACK)
        said = verdict(kind, judged, changes_weights=True)
        assert said == verdict(kind, judge(kind, alone), changes_weights=True)
        assert summary(kind, judged, said) == summary(kind, judge(kind, alone), said)
        assert assess(kind, findings) == assess(kind, alone)
        assert decidable(kind, findings) == decidable(kind, alone)


def test_no_claim_is_about_a_measure_that_several_attacks_give() -> None:
    assert not {measure for rules in RULES.values() for measure, _ in rules} & BY_ATTACK


def test_the_attack_is_named_where_it_does_not_go_without_saying() -> None:
    usual = [("attack_auc", "loss"), ("predicted_member", "confidence"), ("efficacy", None)]
    assert to_be_told_apart(usual) == frozenset()
    assert to_be_told_apart([*usual, ("predicted_member", "entropy")]) == {"predicted_member"}
    assert to_be_told_apart([("efficacy", "entropy")]) == {"efficacy"}
