"""A verdict says pass only where the samples can carry it."""

from typing import Any

import pytest

from app.core.params import Kind
from app.domain.findings import Finding, Gold
from app.domain.verdict import at_least, at_most, judge, near, summary, verdict


def finding(measure: str, on: str, after: float, interval: tuple[float, float], **more: Any) -> Finding:
    parts: dict[str, Any] = {
        "metric": "made up", "measure": measure, "on": on, "direction": "gold", "attack_feature": None, "n": 100,
        "seed": 0, "before": 0.99, "after": after, "no_op": 0.99, "gold": None, "difference_to_gold": None,
        "interval": interval,
    }  # fmt: skip
    return Finding(**{**parts, **more})


@pytest.mark.parametrize(
    ("interval", "outcome"),
    [
        ((0.88, 0.92), "pass"),
        ((0.85, 0.95), "pass"),
        ((0.84, 0.92), "inconclusive"),  # could be too low
        ((0.88, 0.96), "inconclusive"),  # could be too high
        ((0.93, 0.99), "fail"),  # surely above 0.90 by more than 0.02
        ((0.40, 0.50), "inconclusive"),  # broken, but no trace
    ],
)
def test_near_a_target_of_090(interval: tuple[float, float], outcome: str) -> None:
    assert near(interval, 0.90) == outcome


def test_at_most_and_at_least_look_at_one_side() -> None:
    assert at_most((0.0, 0.04), 0.0) == "pass"
    assert at_most((0.0, 0.2), 0.0) == "inconclusive"
    assert at_most((0.03, 0.2), 0.0) == "fail"
    assert at_least((0.86, 0.99), 0.9) == "pass"
    assert at_least((0.7, 0.99), 0.9) == "inconclusive"
    assert at_least((0.7, 0.8), 0.9) == "fail"


def samples(forget: tuple[float, float], auc: tuple[float, float]) -> list[Finding]:
    middle = sum(forget) / 2
    return judge(
        Kind.SAMPLES,
        [
            finding("accuracy", "forget", middle, forget),
            finding("attack_auc", "forget", sum(auc) / 2, auc),
            finding("accuracy", "retain", 0.98, (0.97, 0.99)),
            finding("accuracy", "test", 0.90, (0.88, 0.92)),
        ],
    )


def test_all_claims_must_hold_for_a_pass() -> None:
    found = samples((0.88, 0.92), (0.48, 0.52))
    assert verdict(Kind.SAMPLES, found, changes_weights=True) == "pass"


def test_one_trace_is_enough() -> None:
    found = samples((0.88, 0.92), (0.56, 0.7))
    assert verdict(Kind.SAMPLES, found, changes_weights=True) == "trace_found"


def test_too_few_samples_are_inconclusive_never_a_pass() -> None:
    found = samples((0.75, 0.97), (0.4, 0.6))
    assert verdict(Kind.SAMPLES, found, changes_weights=True) == "inconclusive"


def test_lost_accuracy_is_no_trace_but_no_pass_either() -> None:
    found = judge(
        Kind.CLASS,
        [
            finding("accuracy", "forget", 0.0, (0.0, 0.01)),
            finding("accuracy", "retain", 0.3, (0.28, 0.32)),
        ],
    )
    assert [f.outcome for f in found] == ["pass", "fail"]
    assert verdict(Kind.CLASS, found, changes_weights=True) == "inconclusive"


def test_gold_is_the_target_where_it_was_measured() -> None:
    gold = Gold(mean=0.53, std=0.01, models=2)
    (found,) = judge(Kind.BACKDOOR, [finding("accuracy", "retain_extra", 0.55, (0.53, 0.57), gold=gold)])
    assert found.outcome == "pass"
    assert "0.530" in (found.threshold or "")


def test_without_anything_to_compare_with_nothing_is_claimed() -> None:
    found = judge(Kind.SAMPLES, [finding("accuracy", "forget", 0.5, (0.5, 0.5))])
    assert found[0].outcome == "inconclusive"


def test_an_audit_that_never_looked_at_what_was_forgotten_is_inconclusive() -> None:
    found = judge(Kind.CLASS, [finding("accuracy", "retain", 0.99, (0.98, 1.0))])
    assert verdict(Kind.CLASS, found, changes_weights=True) == "inconclusive"


def test_nothing_passes_without_an_attack() -> None:
    found = [f for f in samples((0.88, 0.92), (0.48, 0.52)) if f.measure != "attack_auc"]
    assert all(f.outcome in {"pass", "not_judged"} for f in found)
    assert verdict(Kind.SAMPLES, found, changes_weights=True) == "inconclusive"


def test_no_findings_are_inconclusive() -> None:
    assert verdict(Kind.SAMPLES, [], changes_weights=True) == "inconclusive"


def test_a_filter_of_answers_is_never_unlearning() -> None:
    found = judge(Kind.CLASS, [finding("accuracy", "forget", 0.0, (0.0, 0.01))])
    assert verdict(Kind.CLASS, found, changes_weights=False) == "mitigation_only"


def test_the_summary_says_when_nothing_moved() -> None:
    found = judge(Kind.SAMPLES, [finding("accuracy", "forget", 0.99, (0.95, 1.0))])
    assert "as if nothing had been done" in summary(Kind.SAMPLES, found, "inconclusive")[-1]


def test_the_summary_compares_with_the_retrained_model_in_words() -> None:
    gold = Gold(mean=0.462, std=0.0, models=1)
    found = judge(Kind.BACKDOOR, [finding("accuracy", "retain_extra", 0.70, (0.67, 0.73), gold=gold)])
    assert summary(Kind.BACKDOOR, found, "inconclusive")[1] == (
        "Shown: with the feature added, answers are right at least as often as those of a model retrained without it "
        "(0.462) (accuracy on kept data with the feature added (D_r,extra): 0.990 before, 0.700 after, 100 samples)."
    )


def test_a_class_that_was_not_learned_again_is_no_trace() -> None:
    found = judge(
        Kind.BACKDOOR,
        [
            finding("accuracy", "forget_clean", 0.5, (0.4, 0.6)),
            finding("accuracy", "retain_extra", 0.95, (0.94, 0.96)),
            finding("accuracy", "retain", 0.95, (0.94, 0.99)),
        ],
    )
    assert [f.outcome for f in found] == ["fail", "pass", "pass"]
    assert verdict(Kind.BACKDOOR, found, changes_weights=True) == "inconclusive"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_rules(kind: Kind) -> None:
    assert judge(kind, [finding("accuracy", "retain", 0.98, (0.97, 1.0))])[0].outcome == "pass"
