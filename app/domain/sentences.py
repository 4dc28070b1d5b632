"""What a verdict says in plain sentences."""

from collections.abc import Mapping, Sequence
from typing import Literal

from app.core.params import Kind
from app.domain.findings import Finding, Outcome
from app.domain.report import Batch
from app.domain.rules import NAMES, rules_for

Verdict = Literal["pass", "trace_found", "inconclusive", "mitigation_only"]

UNMOVED = 0.01
MOVED = 0.5
"""The share of the way from before to nothing from which the answers about a class count as changed."""

WORDS: Mapping[Verdict, str] = {
    "pass": "No trace of what was to be forgotten was found; there were enough samples to find one of the stated size.",
    "trace_found": "The model still shows traces of what was to be forgotten. It must not be reported as forgotten.",
    "inconclusive": "What was measured neither shows a trace beyond doubt nor excludes one of the stated size.",
    "mitigation_only": "The answers are filtered; the weights still know what was to be forgotten: not unlearning.",
}
STATES: Mapping[Outcome, str] = {"pass": "Shown", "fail": "Not so", "inconclusive": "Undecided"}
LIMITS: Sequence[str] = (
    "A measured absence of evidence under these attacks is not a proof of erasure.",
    "Weights alone cannot prove unlearning: other weights, trained with or without the data, can be equal to these.",
    "Published audits defeat Fisher-based methods that call themselves certified; this report makes no such claim.",
    "Copies of the data and of earlier weights outside this service are not covered.",
)


def summary(kind: Kind, findings: Sequence[Finding], result: Verdict) -> list[str]:
    """The verdict in plain sentences: what was achieved, what was not, what could not be decided."""
    rules, sentences = rules_for(kind), [WORDS[result]]
    judged = [f for f in findings if f.outcome != "not_judged"]
    for f in judged:
        claim = (f.threshold or rules[f.measure, f.on].claim.format(reference="another model")).split(";")[0]
        numbers = (
            f"{f.measure.replace('_', ' ')} on {NAMES.get(f.on, f.on)}: {f.before:.3f} before, {f.after:.3f} after"
        )
        sentences.append(f"{STATES[f.outcome]}: {claim} ({numbers}, {f.n} samples).{_shortage(f)}")
    traces = [f for f in judged if rules[f.measure, f.on].about_traces]
    if traces and all(abs(f.after - f.no_op) < UNMOVED for f in traces):
        sentences.append("What speaks of forgetting moved by less than a point: as if nothing had been done.")
    return [*sentences, *_overshot(judged), *_residue(kind, findings)]


def shared(batch: Batch) -> list[str]:
    """That a request was carried out together with others, what that means for its findings, and its own samples'."""
    own, others = batch.own, batch.requests - 1
    gold = "" if own.gold is None else f", {own.gold:.3f} of models that were retrained without them"
    together = (
        f"This request was carried out together with {others} other{'s' if others > 1 else ''}, as one computation on"
        f" {batch.samples} samples; {own.samples} of them {'is' if own.samples == 1 else 'are'} this request's. The"
        " findings and the verdict are about all of them together."
    )
    return [
        together,
        f"On this request's own samples the accuracy was {own.before:.3f} before and is {own.after:.3f} after{gold}.",
    ]


def _shortage(finding: Finding) -> str:
    n = finding.contrast.n if finding.contrast else finding.n
    if finding.outcome != "inconclusive" or finding.needed is None or n >= finding.needed:
        return ""
    return f" {finding.needed} samples would be needed, there were {n}."


def _overshot(judged: Sequence[Finding]) -> list[str]:
    """The forgotten samples stand out the other way: worse than samples that were never seen."""
    low = [f for f in judged if f.measure.endswith("_auc") and f.interval[1] < 0.5 - UNMOVED and f.outcome != "pass"]
    if not low:
        return []
    return ["The forgotten samples stand out by larger losses than unseen ones have: who looks for that can find them."]


def _residue(kind: Kind, findings: Sequence[Finding]) -> list[str]:
    """A class that is no longer answered and yet is still known: only the outputs moved."""
    by = {(f.measure, f.on): f for f in findings}
    answered = by.get(("accuracy", "forget"))
    if kind is not Kind.CLASS or answered is None or answered.after > MOVED * answered.before:
        return []
    signs = [words for key, words in RESIDUE.items() if key in by and _remains(by[key])]
    if not signs:
        return []
    return [f"Only the outputs moved: the class is no longer answered, but {', and '.join(signs)}."]


RESIDUE: Mapping[tuple[str, str], str] = {
    ("attack_auc", "forget"): "its training samples can still be told from samples that were never seen",
    ("reference_auc", "forget"): "its training samples still fit better than to models that never saw them",
    ("probe_accuracy", "test_forget"): "a linear classifier on the hidden features still recognises it",
    ("relearn_share", "forget"): "it is learned again faster than by a model that never saw it",
}


def _remains(f: Finding) -> bool:
    """A sign of what is left: beyond chance for attacks; else closer to the model before than to the gold models."""
    if f.measure.endswith("_auc"):
        return f.interval[0] > 0.5 + 2 * UNMOVED if f.gold is None else f.outcome == "fail"
    reference = f.gold.mean if f.gold is not None else None
    if reference is None or f.before == reference:
        return False
    return abs(f.after - f.before) < abs(f.after - reference)
