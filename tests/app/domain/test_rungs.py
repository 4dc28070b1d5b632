from collections.abc import Sequence
from math import sqrt
from typing import Literal

import pytest

from app.core.params import Kind
from app.domain.findings import Contrast, Finding, Gold
from app.domain.report import Rung
from app.domain.rungs import assess, moved_as_wanted, said, warned

Direction = Literal["higher", "lower", "gold"]


def finding(
    measure: str,
    on: str,
    after: float,
    *,
    n: int = 5000,
    before: float = 1.0,
    gold: float | None = None,
    direction: Direction = "gold",
) -> Finding:
    half = 1.96 * sqrt((after * (1 - after) + 1 / n) / n)
    return Finding(
        metric="accuracy",
        measure=measure,
        on=on,
        direction=direction,
        attack_feature=None,
        n=n,
        seed=0,
        before=before,
        after=after,
        no_op=before,
        gold=None if gold is None else Gold(mean=gold, std=0.0, models=1),
        difference_to_gold=None if gold is None else after - gold,
        interval=(max(0.0, after - half), min(1.0, after + half)),
    )


def samples(right: float, area: float, kept: float = 0.9, *, n: int = 5000, before: float = 1.0) -> list[Finding]:
    """An audit of a request for samples: n of them, held-out data answered with .9."""
    return [
        finding("accuracy", "forget", right, n=n, before=before),
        finding("attack_auc", "forget", area, n=n, before=0.7),
        finding("accuracy", "retain", kept, before=0.9, direction="higher"),
        finding("accuracy", "test", 0.9, before=0.9, direction="higher"),
    ]


def test_a_rung_that_passes_is_enough() -> None:
    found = assess(Kind.SAMPLES, samples(0.9, 0.5))
    assert (found.verdict, found.enough, found.rank) == ("pass", True, (False, 0, 0.0))


@pytest.mark.parametrize("findings", [samples(1.0, 0.6), samples(0.9, 0.5, kept=0.7), samples(1.0, 0.7, n=60)])
def test_a_claim_that_is_not_so_is_a_reason_to_climb(findings: list[Finding]) -> None:
    found = assess(Kind.SAMPLES, findings)
    assert found.verdict != "pass"
    assert not found.enough
    assert found.why.startswith("not so: ")


def test_too_few_samples_for_any_method_are_enough_if_what_could_be_seen_became_smaller() -> None:
    found = assess(Kind.SAMPLES, samples(0.9, 0.55, n=40))
    assert (found.verdict, found.enough) == ("inconclusive", True)
    assert "no method could be shown to have forgotten with these samples" in found.why
    assert "accuracy on forget (n = 40, " in found.why


def test_too_few_samples_are_not_enough_where_what_could_be_seen_stayed() -> None:
    found = assess(Kind.SAMPLES, samples(1.0, 0.7, n=20))
    assert (found.verdict, found.enough) == ("inconclusive", False)
    assert found.why.startswith("undecided: ")


def test_where_the_model_before_shows_no_trace_there_is_nothing_to_climb_for() -> None:
    findings = [f.model_copy(update={"before": 0.9 if f.measure == "accuracy" else 0.5}) for f in samples(0.9, 0.5)]
    found = assess(Kind.SAMPLES, findings)
    assert (found.verdict, found.enough, found.rank) == ("inconclusive", True, (True, 0, 0.0))
    assert found.why.endswith("undecided: the audit itself")


def test_a_claim_that_another_method_could_decide_is_a_reason_to_climb() -> None:
    """4,000 samples decide; this value lies just below the margin."""
    found = assess(Kind.SAMPLES, samples(0.845, 0.5, n=4000))
    assert (found.verdict, found.enough) == ("inconclusive", False)
    assert "accuracy on forget (n = 4000)" in found.why


def test_what_was_not_measured_no_method_can_decide() -> None:
    without_attack = [f for f in samples(0.9, 0.5) if f.measure == "accuracy"]
    found = assess(Kind.SAMPLES, without_attack)
    assert (found.verdict, found.enough) == ("inconclusive", True)


def test_without_t_a_leakage_cannot_be_seen_to_be_forgotten_so_one_rung_is_enough() -> None:
    findings = [
        finding("accuracy", "forget", 0.9, direction="higher"),
        finding("accuracy", "retain", 0.9, before=0.9, direction="higher"),
    ]
    assert assess(Kind.LEAKAGE, findings).enough


HELD_OUT = finding("accuracy", "test", 0.9, before=0.9)


@pytest.mark.parametrize(
    ("kind", "findings", "moved"),
    [
        (Kind.SAMPLES, [finding("accuracy", "forget", 0.95), HELD_OUT], True),
        (Kind.SAMPLES, [finding("accuracy", "forget", 0.95, gold=1.0), HELD_OUT], True),  # it never stood out
        (Kind.SAMPLES, [finding("accuracy", "forget", 0.995), HELD_OUT], False),
        (Kind.SAMPLES, [finding("accuracy", "forget", 0.7), HELD_OUT], False),  # now it stands out below
        (Kind.SAMPLES, [finding("accuracy", "forget", 0.995, n=5), HELD_OUT], True),  # 5 right are no surprise
        (Kind.CLASS, [finding("accuracy", "forget", 0.7)], True),
        (
            Kind.SAMPLES,
            [finding("accuracy", "forget", 0.9), finding("attack_auc", "forget", 0.8, before=0.6), HELD_OUT],
            False,
        ),
        (Kind.SAMPLES, [finding("accuracy", "retain", 0.8)], True),
        (Kind.BACKDOOR, [finding("accuracy", "retain_extra", 0.8, before=0.1, gold=0.9)], True),
        (Kind.BACKDOOR, [finding("accuracy", "retain_extra", 0.1, before=0.1, gold=0.9)], False),
        (Kind.BACKDOOR, [finding("accuracy", "retain_extra", 0.99, before=0.1, gold=0.5)], True),  # more is harmless
    ],
)
def test_what_moving_as_wanted_is(kind: Kind, findings: Sequence[Finding], moved: bool) -> None:  # noqa: FBT001
    assert moved_as_wanted(kind, findings) is moved


def test_the_best_of_those_that_did_not_pass_has_the_fewest_failed_claims_then_misses_by_least() -> None:
    two, one_far, one_near, none = (
        assess(Kind.SAMPLES, findings).rank
        for findings in (samples(1.0, 0.6), samples(1.0, 0.5), samples(0.95, 0.5), samples(0.845, 0.5))
    )
    assert none < one_near < one_far < two
    assert (one_far[2], one_near[2]) == pytest.approx((0.08, 0.03))  # beyond .9 and two points of slack
    assert assess(Kind.SAMPLES, samples(0.9, 0.5)).rank < none


def rung(name: str, verdict: str | None, *, published: bool = False) -> Rung:
    return Rung(method={"name": name}, verdict=verdict, left="why", seconds=1.0, audit_seconds=1.0, published=published)


def test_the_report_says_what_was_tried_and_that_nothing_passed() -> None:
    assert said([rung("rld", "trace_found", published=True)]) == []
    tried = said([rung("ssd", None), rung("deepclean", "pass", published=True)])
    assert len(tried) == 1
    assert "ssd (failed: why); deepclean (pass: why)" in tried[0]
    tried = said([rung("ssd", "trace_found", published=True), rung("retrain", None)])
    assert tried[1].startswith("None of them passed. Published is what ssd made")


def test_warnings_of_the_methods_stand_in_the_report() -> None:
    assert warned({"steps": 3, "rung_1_rld.forget_warning": "lower λ"}) == ["Warning: lower λ."]
    assert warned({"selected_fraction": 0.2}) == []
    assert "99.0% of all weights" in warned({"selected_fraction": 0.99})[0]


def test_where_no_outcome_would_be_surprising_nothing_stands_out() -> None:
    """20 of 20 right are no surprise for a model that is right about 90 %: below 29 an accuracy says nothing."""
    contrast = Contrast(against="it", value=0.1, error=0.02, control=0.1, n=20, spread=0.1, floor=0.0, least=29)
    unmoved = finding("accuracy", "forget", 1.0, n=20).model_copy(update={"contrast": contrast})
    assert moved_as_wanted(Kind.SAMPLES, [unmoved])
    many = contrast.model_copy(update={"n": 30})
    assert not moved_as_wanted(Kind.SAMPLES, [unmoved.model_copy(update={"contrast": many})])
