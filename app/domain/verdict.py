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
UNMOVED = 0.01

Verdict = Literal["pass", "trace_found", "inconclusive", "mitigation_only"]


@dataclass(frozen=True)
class Rule:
    """How one finding is judged: the comparison, its claim in words, and the target where no gold was measured."""

    compare: Callable[[tuple[float, float], float], Outcome]
    claim: str  # "{reference}" becomes what it is compared with
    fallback: str | float  # "before", another set's value of the same measure, or a number
    about_traces: bool = True  # False: it speaks of what must be kept or learned again


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


FORGOTTEN_SAMPLES = Rule(near, "the forgotten samples are answered as well as by {reference}", "test")
USELESS_ATTACK = Rule(near, "telling forgotten from unseen samples works no better than with {reference}", 0.5)
FORGOTTEN_CLASS = Rule(at_most, "the forgotten class is answered no more often than by {reference}", 0.0)
KEPT = Rule(at_least, "what is kept is answered as well as by {reference}", "before", about_traces=False)
HARMLESS = Rule(
    at_least, "with the feature added, answers are right at least as often as those of {reference}", "retain"
)
RELEARNED = Rule(
    at_least, "the samples are answered without the feature as well as by {reference}", "retain", about_traces=False
)

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
    target, reference = _target(rule, finding, others)
    if target is None:
        reason = f"there is neither a gold model nor {reference} to compare with"
        return finding.model_copy(update={"outcome": "inconclusive", "reason": reason})
    low, high = finding.interval
    return finding.model_copy(
        update={
            "outcome": rule.compare(finding.interval, target),
            "threshold": f"{rule.claim.format(reference=reference)}; margin {MARGIN:.2f}",
            "reason": f"{finding.after:.3f}, 95 % interval {low:.3f} to {high:.3f} from {finding.n} samples",
        }
    )


def _target(rule: Rule, finding: Finding, others: Mapping[tuple[str, str], Finding]) -> tuple[float | None, str]:
    if finding.gold is not None:
        return finding.gold.mean, f"a model retrained without it ({finding.gold.mean:.3f})"
    if isinstance(rule.fallback, float):
        return rule.fallback, f"a model that knows nothing of it ({rule.fallback:.3f})"
    if rule.fallback == "before":
        return finding.before, f"the model before ({finding.before:.3f})"
    other = others.get((finding.measure, rule.fallback))
    if other is None:
        return None, f"a value on {NAMES[rule.fallback]}"
    return other.after, f"the same model on {NAMES[rule.fallback]} ({other.after:.3f})"


def verdict(kind: Kind, findings: Sequence[Finding], *, changes_weights: bool) -> Verdict:
    """What the judged findings say together. One trace is enough; every claim must hold for a pass."""
    if not changes_weights:
        return "mitigation_only"
    rules = rules_for(kind)
    outcomes = {(f.measure, f.on): f.outcome for f in findings if f.outcome != "not_judged"}
    if any(outcome == "fail" and rules[key].about_traces for key, outcome in outcomes.items()):
        return "trace_found"
    missing = (
        rules.keys()
        & {("accuracy", "forget"), ("attack_auc", "forget"), ("accuracy", "retain_extra")} - outcomes.keys()
    )
    return "pass" if outcomes and not missing and all(o == "pass" for o in outcomes.values()) else "inconclusive"


WORDS: Mapping[Verdict, str] = {
    "pass": "No trace of what was to be forgotten was found; there were enough samples to find one of the stated size.",
    "trace_found": "The model still shows traces of what was to be forgotten. It must not be reported as forgotten.",
    "inconclusive": "What was measured neither shows a trace beyond doubt nor excludes one of the stated size.",
    "mitigation_only": "The answers are filtered; the weights still know what was to be forgotten: not unlearning.",
}


STATES: Mapping[Outcome, str] = {"pass": "Shown", "fail": "Not so", "inconclusive": "Undecided"}


def summary(kind: Kind, findings: Sequence[Finding], result: Verdict) -> list[str]:
    """The verdict in plain sentences: what was achieved, what was not, what could not be decided."""
    rules, sentences = rules_for(kind), [WORDS[result]]
    judged = [f for f in findings if f.outcome != "not_judged"]
    for f in judged:
        claim = (f.threshold or rules[f.measure, f.on].claim.format(reference="another model")).split(";")[0]
        numbers = (
            f"{f.measure.replace('_', ' ')} on {NAMES.get(f.on, f.on)}: {f.before:.3f} before, {f.after:.3f} after"
        )
        sentences.append(f"{STATES[f.outcome]}: {claim} ({numbers}, {f.n} samples).")
    traces = [f for f in judged if rules[f.measure, f.on].about_traces]
    if traces and all(abs(f.after - f.no_op) < UNMOVED for f in traces):
        sentences.append("What speaks of forgetting moved by less than a point: as if nothing had been done.")
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
