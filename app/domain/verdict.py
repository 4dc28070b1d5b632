"""The verdict: what findings mean. Pure rules; a claim that the samples cannot carry is inconclusive, never pass.

Each judged finding is compared with a target: the gold model where there is one, else held-out data or a fixed value.
With the 95 % interval [l, u] of the value after the job, margin m = 5 points and slack s = 2 points:

    two-sided:  pass if [l, u] ⊂ [target − m, target + m];  fail if l > target + s   (a trace is a value *above* what
                a model that never saw the data shows);  else inconclusive
    at most:    pass if u ≤ target + m;  fail if l > target + s
    at least:   pass if l ≥ target − m;  fail if u < target − m
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from app.core.params import Kind
from app.domain.findings import Finding, Outcome

MARGIN = 0.05
SLACK = 0.02

Verdict = Literal["pass", "trace_found", "inconclusive", "mitigation_only"]


@dataclass(frozen=True)
class Rule:
    """How one finding is judged: the comparison, and the target where no gold was measured."""

    compare: Callable[[tuple[float, float], float], Outcome]
    words: str
    fallback: str | float  # another set's value of the same measure, or a number


def near(interval: tuple[float, float], target: float) -> Outcome:
    """Neither above nor below the target by more than the margin."""
    low, high = interval
    if low > target + SLACK:
        return "fail"
    return "pass" if target - MARGIN <= low and high <= target + MARGIN else "inconclusive"


def at_most(interval: tuple[float, float], target: float) -> Outcome:
    """Not above the target."""
    low, high = interval
    if low > target + SLACK:
        return "fail"
    return "pass" if high <= target + MARGIN else "inconclusive"


def at_least(interval: tuple[float, float], target: float) -> Outcome:
    """Not below the target."""
    low, high = interval
    if high < target - MARGIN:
        return "fail"
    return "pass" if low >= target - MARGIN else "inconclusive"


FORGOTTEN_SAMPLES = Rule(near, "as right on D_f as a model that never saw it", "test")
USELESS_ATTACK = Rule(near, "no better than a coin at telling D_f from unseen samples", 0.5)
FORGOTTEN_CLASS = Rule(at_most, "no longer answers the class", 0.0)
KEPT = Rule(at_least, "keeps the accuracy it had", "before")
HARMLESS = Rule(at_least, "the added feature no longer changes the answers", "retain")
RELEARNED = Rule(at_least, "answers D_f as a model that was trained without the feature", "retain")

RULES: Mapping[Kind, Mapping[tuple[str, str], Rule]] = {
    Kind.SAMPLES: {
        ("accuracy", "forget"): FORGOTTEN_SAMPLES,
        ("attack_auc", "forget"): USELESS_ATTACK,
        ("accuracy", "retain"): KEPT,
    },
    Kind.CLASS: {
        ("accuracy", "forget"): FORGOTTEN_CLASS,
        ("accuracy", "test_forget"): FORGOTTEN_CLASS,
        ("attack_auc", "forget"): USELESS_ATTACK,
        ("accuracy", "retain"): KEPT,
    },
    Kind.BACKDOOR: {
        ("accuracy", "retain_extra"): HARMLESS,
        ("accuracy", "forget_clean"): RELEARNED,
        ("accuracy", "retain"): KEPT,
    },
    Kind.LEAKAGE: {
        ("accuracy", "retain_extra"): HARMLESS,
        ("accuracy", "forget"): RELEARNED,
        ("accuracy", "retain"): KEPT,
    },
}
KEEPING = {("accuracy", "retain")}
"""Findings about what must be kept: they never speak of a trace."""


def rules_for(kind: Kind) -> Mapping[tuple[str, str], Rule]:
    """The judged findings of a kind; subjects are judged as samples are."""
    return RULES[Kind.SAMPLES if kind is Kind.SUBJECTS else kind]


def judge(kind: Kind, findings: Sequence[Finding]) -> list[Finding]:
    """The findings with outcome, threshold and reason filled in."""
    values = {(f.measure, f.on): f for f in findings}
    return [_judged(rules_for(kind).get((f.measure, f.on)), f, values) for f in findings]


def _judged(rule: Rule | None, finding: Finding, others: Mapping[tuple[str, str], Finding]) -> Finding:
    if rule is None:
        return finding
    target, source = _target(rule, finding, others)
    if target is None:
        reason = f"there is neither a gold model nor {source} to compare with"
        return finding.model_copy(update={"outcome": "inconclusive", "reason": reason})
    outcome = rule.compare(finding.interval, target)
    low, high = finding.interval
    return finding.model_copy(
        update={
            "outcome": outcome,
            "threshold": f"{rule.words}: {target:.3f} ({source}), margin {MARGIN:.2f}",
            "reason": f"{finding.after:.3f}, 95 % interval {low:.3f} to {high:.3f} from {finding.n} samples",
        }
    )


def _target(rule: Rule, finding: Finding, others: Mapping[tuple[str, str], Finding]) -> tuple[float | None, str]:
    if finding.gold is not None:
        return finding.gold.mean, f"gold, {finding.gold.models} retrained"
    if isinstance(rule.fallback, float):
        return rule.fallback, "fixed"
    if rule.fallback == "before":
        return finding.before, "before the job"
    other = others.get((finding.measure, rule.fallback))
    return (None if other is None else other.after), f"the same model on {rule.fallback}"


def verdict(kind: Kind, findings: Sequence[Finding], *, changes_weights: bool) -> Verdict:
    """What the judged findings say together. One trace is enough; every claim must hold for a pass."""
    if not changes_weights:
        return "mitigation_only"
    outcomes = {(f.measure, f.on): f.outcome for f in findings if f.outcome != "not_judged"}
    if any(outcome == "fail" for key, outcome in outcomes.items() if key not in KEEPING):
        return "trace_found"
    missing = rules_for(kind).keys() & {("accuracy", "forget"), ("accuracy", "retain_extra")} - outcomes.keys()
    return "pass" if outcomes and not missing and all(o == "pass" for o in outcomes.values()) else "inconclusive"


WORDS: Mapping[Verdict, str] = {
    "pass": "No trace of what was to be forgotten was found; there were enough samples to find one of the stated size.",
    "trace_found": "The model still shows traces of what was to be forgotten. It must not be reported as forgotten.",
    "inconclusive": "What was measured neither shows a trace beyond doubt nor excludes one of the stated size.",
    "mitigation_only": "The answers are filtered; the weights still know what was to be forgotten: not unlearning.",
}


def summary(kind: Kind, findings: Sequence[Finding], result: Verdict) -> list[str]:
    """The verdict in plain sentences: what was achieved, what was not."""
    sentences = [WORDS[result]]
    for finding in findings:
        if finding.outcome == "not_judged":
            continue
        rule = rules_for(kind)[finding.measure, finding.on]
        state = {"pass": "Achieved", "fail": "Not achieved", "inconclusive": "Undecided"}[finding.outcome]
        name = f"{finding.measure.replace('_', ' ')} on {NAMES.get(finding.on, finding.on)}"
        moved = f"from {finding.before:.3f} to {finding.after:.3f}"
        sentences.append(f"{state}: {rule.words} ({name} went {moved}).")
    if all(abs(f.after - f.before) < 0.005 for f in findings if (f.measure, f.on) not in KEEPING):
        sentences.append(
            "No measured value moved by more than half a point: the job is indistinguishable from doing nothing."
        )
    return sentences


NAMES: Mapping[str, str] = {
    "retain": "the data that is kept (D_r)",
    "forget": "the data to be forgotten (D_f)",
    "forget_clean": "that data without the feature (D_f,clean)",
    "retain_extra": "kept data with the feature added (D_r,extra)",
    "test": "held-out data",
    "test_forget": "held-out data of the forgotten class",
    "test_extra": "held-out data with the feature added",
}
LIMITS: Sequence[str] = (
    "A measured absence of evidence under these attacks is not a proof of erasure.",
    "Weights alone cannot prove unlearning: other weights, trained with or without the data, can be equal to these.",
    "Published audits defeat Fisher-based methods that call themselves certified; this report makes no such claim.",
    "Copies of the data and of earlier weights outside this service are not covered.",
)
