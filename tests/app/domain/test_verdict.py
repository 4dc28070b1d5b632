"""A verdict says pass only where the samples can carry it, and only where the same audit finds the untouched model."""

from dataclasses import replace
from typing import Any

import pytest

from app.core.params import Kind
from app.domain.findings import Contrast, Finding, Gold
from app.domain.verdict import STANDARD, STRICT, decidable, judge, summary, verdict


def finding(measure: str, on: str, after: float, n: int = 1000, **more: Any) -> Finding:
    parts: dict[str, Any] = {
        "metric": "made up", "measure": measure, "on": on, "direction": "gold", "attack_feature": None, "n": n,
        "seed": 0, "before": 0.99, "after": after, "no_op": 0.99, "gold": None, "difference_to_gold": None,
        "interval": (after - 0.02, after + 0.02),
    }  # fmt: skip
    return Finding(**{**parts, **more})


def contrast(value: float, n: int = 1000, *, control: float = 0.1, spread: float = 0.3, **more: Any) -> Contrast:
    parts: dict[str, Any] = {
        "against": "nothing", "value": value, "error": spread / n**0.5, "control": control, "n": n, "spread": spread,
        "floor": 0.0,
    }  # fmt: skip
    return Contrast(**{**parts, **more})


def samples(accuracy: Contrast, auc: Contrast, **more: Any) -> list[Finding]:
    return [
        finding("accuracy", "forget", 0.9 + accuracy.value, accuracy.n, contrast=accuracy, **more),
        finding("attack_auc", "forget", 0.5 + auc.value, 2 * auc.n, contrast=auc, **more),
        finding("accuracy", "retain", 0.98),
        finding("accuracy", "test", 0.90),
    ]


def outcome(findings: list[Finding], kind: Kind = Kind.SAMPLES) -> str:
    return verdict(kind, judge(kind, findings), changes_weights=True)


def test_all_claims_must_hold_for_a_pass() -> None:
    assert outcome(samples(contrast(0.01), contrast(-0.01))) == "pass"
    assert outcome(samples(contrast(0.01), contrast(0.04))) != "pass"
    assert outcome(samples(contrast(-0.2), contrast(0.0))) == "inconclusive"  # broken, but no trace


def test_one_trace_is_enough() -> None:
    assert outcome(samples(contrast(0.0), contrast(0.06))) == "trace_found"


def test_a_difference_within_the_slack_is_no_trace_however_many_samples_there_are() -> None:
    assert outcome(samples(contrast(0.015, 10**6), contrast(0.0, 10**6))) == "pass"


def test_what_would_be_a_trace_by_itself_is_none_among_several() -> None:
    # z = 1.76, p = 0.039: below 5 %, above 2.5 %
    edge = contrast(0.02 + 1.76 * 0.3 / 1000**0.5)
    (alone,) = judge(Kind.SAMPLES, [finding("attack_auc", "forget", 0.5, contrast=edge)])
    assert alone.outcome == "fail"
    assert alone.p_value == pytest.approx(0.039, abs=1e-3)
    assert outcome(samples(contrast(0.0), edge)) == "inconclusive"


def test_too_few_samples_are_inconclusive_never_a_pass() -> None:
    lucky = contrast(0.0, 100, error=0.001)  # the interval alone would do
    judged = judge(Kind.SAMPLES, samples(lucky, lucky))
    assert [f.outcome for f in judged[:2]] == ["inconclusive", "inconclusive"]
    assert judged[0].needed == 309  # (0.3 (1.645 + 1.282) / 0.05)²
    assert (judged[0].reason or "").startswith("309 samples would be needed, there were 100")
    assert verdict(Kind.SAMPLES, judged, changes_weights=True) == "inconclusive"
    assert "309 samples would be needed, there were 100" in " ".join(summary(Kind.SAMPLES, judged, "inconclusive"))


def test_an_audit_that_cannot_see_the_untouched_model_never_passes() -> None:
    blind = contrast(0.0, control=0.01)
    assert [f.outcome for f in judge(Kind.SAMPLES, samples(blind, blind))[:3]] == ["pass", "pass", "pass"]
    assert outcome(samples(blind, blind)) == "inconclusive"


def test_below_the_least_number_of_samples_nothing_is_a_surprise() -> None:
    twenty = contrast(0.11, 20, spread=0.1, least=26)
    (judged,) = judge(Kind.SAMPLES, [finding("accuracy", "forget", 1.0, 20, contrast=twenty)])
    assert (judged.outcome, judged.p_value) == ("inconclusive", 1.0)
    enough = contrast(0.11, 26, spread=0.1, least=26)
    (judged,) = judge(Kind.SAMPLES, [finding("accuracy", "forget", 1.0, 26, contrast=enough)])
    assert judged.outcome == "fail"


def test_the_strict_policy_asks_for_a_smaller_margin_and_more_samples() -> None:
    (standard,) = judge(Kind.SAMPLES, samples(contrast(0.02), contrast(0.0))[:1], policy=STANDARD)
    (strict,) = judge(Kind.SAMPLES, samples(contrast(0.02), contrast(0.0))[:1], policy=STRICT)
    assert (standard.outcome, standard.margin) == ("pass", 0.05)
    assert (strict.outcome, strict.margin, strict.needed) == ("inconclusive", 0.02, 1927)


def test_a_policy_may_give_single_measures_a_margin_of_their_own() -> None:
    findings = samples(contrast(0.02), contrast(0.02))
    own = replace(STANDARD, margins={"attack_auc": 0.02})
    judged = judge(Kind.SAMPLES, findings, policy=own)
    assert [(f.outcome, f.margin) for f in judged[:3]] == [("pass", 0.05), ("inconclusive", 0.02), ("pass", 0.05)]
    assert (judged[1].threshold or "").endswith("margin 0.02")
    assert verdict(Kind.SAMPLES, judged, changes_weights=True, policy=own) == "inconclusive"
    assert decidable(Kind.SAMPLES, findings)
    assert not decidable(Kind.SAMPLES, findings, policy=own)  # 1,000 samples are too few for 2 points


def test_whether_a_verdict_is_possible_does_not_depend_on_what_the_model_shows() -> None:
    for value in (0.0, 0.3, -0.3):
        assert decidable(Kind.SAMPLES, samples(contrast(value), contrast(value)))
        assert not decidable(Kind.SAMPLES, samples(contrast(value, 100), contrast(value, 100)))
        assert not decidable(Kind.SAMPLES, samples(contrast(value, control=0.02), contrast(value, control=0.02)))


def test_a_class_is_compared_with_never_being_answered() -> None:
    answered = finding("accuracy", "forget", 0.0, interval=(0.0, 0.01))
    kept = finding("accuracy", "retain", 0.3)
    judged = judge(Kind.CLASS, [answered, kept])
    assert [f.outcome for f in judged] == ["pass", "fail"]
    assert verdict(Kind.CLASS, judged, changes_weights=True) == "inconclusive"  # lost accuracy is no trace, no pass
    (judged_class,) = judge(Kind.CLASS, [finding("accuracy", "forget", 0.06)])
    assert judged_class.outcome == "fail"


def test_a_share_is_tested_as_if_it_were_just_harmless() -> None:
    # 9 of 300 where 2 % are harmless: (.03 − .02) / √(.02·.98/300) = 1.24, p = .11; as if at 0, it would be far beyond
    (judged,) = judge(Kind.CLASS, [finding("accuracy", "forget", 0.03, 300)])
    assert judged.outcome != "fail"
    assert judged.p_value == pytest.approx(0.13, abs=0.03)


def test_gold_is_the_target_where_it_was_measured() -> None:
    gold = Gold(mean=0.53, std=0.01, models=2)
    found = finding("accuracy", "retain_extra", 0.55, gold=gold, difference_interval=(0.0, 0.04), before=0.1)
    (judged,) = judge(Kind.BACKDOOR, [found])
    assert judged.outcome == "pass"
    assert "0.530" in (judged.threshold or "")
    uncertain = found.model_copy(update={"difference_interval": (-0.2, 0.24)})
    assert judge(Kind.BACKDOOR, [uncertain])[0].outcome == "inconclusive"


def test_without_anything_to_compare_with_nothing_is_claimed() -> None:
    (judged,) = judge(Kind.SAMPLES, [finding("accuracy", "forget", 0.5)])
    assert judged.outcome == "inconclusive"
    assert "to compare with" in (judged.reason or "")


def test_an_audit_that_never_looked_at_what_was_forgotten_is_inconclusive() -> None:
    assert outcome([finding("accuracy", "retain", 0.99)], Kind.CLASS) == "inconclusive"


def test_nothing_passes_without_an_attack() -> None:
    found = [f for f in samples(contrast(0.0), contrast(0.0)) if f.measure != "attack_auc"]
    judged = judge(Kind.SAMPLES, found)
    assert all(f.outcome in {"pass", "not_judged"} for f in judged)
    assert verdict(Kind.SAMPLES, judged, changes_weights=True) == "inconclusive"


def test_no_findings_are_inconclusive() -> None:
    assert outcome([]) == "inconclusive"


def test_a_filter_of_answers_is_never_unlearning() -> None:
    found = judge(Kind.CLASS, [finding("accuracy", "forget", 0.0)])
    assert verdict(Kind.CLASS, found, changes_weights=False) == "mitigation_only"


def test_a_class_that_was_not_learned_again_is_no_trace() -> None:
    found = judge(
        Kind.BACKDOOR,
        [
            finding("accuracy", "forget_clean", 0.5),
            finding("accuracy", "retain_extra", 0.95, before=0.05),
            finding("accuracy", "retain", 0.98),
        ],
    )
    assert [f.outcome for f in found] == ["fail", "pass", "pass"]
    assert verdict(Kind.BACKDOOR, found, changes_weights=True) == "inconclusive"


def test_a_backdoor_that_is_gone_passes_and_one_that_works_is_a_trace() -> None:
    def backdoor(after: float) -> list[Finding]:
        return [
            finding("accuracy", "retain_extra", after, before=0.05),
            finding("accuracy", "forget_clean", 0.97, before=0.02),
            finding("accuracy", "retain", 0.98),
        ]

    assert outcome(backdoor(0.98), Kind.BACKDOOR) == "pass"
    assert outcome(backdoor(0.5), Kind.BACKDOOR) == "trace_found"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_rules(kind: Kind) -> None:
    assert judge(kind, [finding("accuracy", "retain", 0.98)])[0].outcome == "pass"
