"""The verdict: what findings mean. Pure rules; a claim that the samples cannot carry is inconclusive, never pass.

Every judged finding has a contrast d: how far its number lies from what a model that never saw D_f shows. With margin m
(5 points, strict 2, or what the policy says of the measure) and slack s = 2 points:

    fail          d > s, one-sided test at 5 %, Holm's correction over all claims about traces
    pass          90 % interval of d within ±m (two one-sided tests at 5 %), and
                  as many samples as it takes to show that with 80 % power
    inconclusive  else

A verdict is *trace found* if one claim about traces fails. It is *pass* if every claim passes and the same audit finds
the model before, to which nothing was done: an audit that cannot see the trace where it is cannot say that it is gone.

Source: Schuirmann 1987 (TOST); Holm 1979. `docs/audits.md` has the rules in words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite, sqrt
from typing import Literal

from app.core.params import Kind
from app.domain import statistics
from app.domain.contrasts import contrast_of, missing
from app.domain.findings import Contrast, Finding, Outcome
from app.domain.rules import STANDARD, STRICT, Policy, Rule, required_for, rules_for
from app.domain.sentences import LIMITS, WORDS, Verdict, summary

__all__ = ["LIMITS", "STANDARD", "STRICT", "WORDS", "Verdict", "decidable", "judge", "summary", "verdict"]

Key = tuple[str, str]
Whose = Literal["after", "before"]


def judge(kind: Kind, findings: Sequence[Finding], *, policy: Policy = STANDARD) -> list[Finding]:
    """The findings with outcome, threshold, reason, p-value and the samples needed filled in."""
    claims = _claims(kind, findings, policy)
    failed = _failed(claims, "after", policy)
    rules = rules_for(kind)
    told = []
    for finding in findings:
        key = finding.measure, finding.on
        if key in claims:
            told.append(_judged(claims[key], finding, policy.of(finding.measure), failed=key in failed))
        elif key in rules:
            told.append(finding.model_copy(update={"outcome": "inconclusive", "reason": missing(rules[key])}))
        else:
            told.append(finding)
    return told


def verdict(kind: Kind, findings: Sequence[Finding], *, changes_weights: bool, policy: Policy = STANDARD) -> Verdict:
    """What the judged findings say together. One trace is enough; every claim must hold for a pass."""
    if not changes_weights:
        return "mitigation_only"
    rules = rules_for(kind)
    outcomes = {(f.measure, f.on): f.outcome for f in findings if f.outcome != "not_judged"}
    if any(outcome == "fail" and rules[key].about_traces for key, outcome in outcomes.items()):
        return "trace_found"
    complete = all(group & outcomes.keys() for group in required_for(kind))
    shown = complete and all(outcome == "pass" for outcome in outcomes.values())
    return "pass" if shown and _finds_the_untouched(kind, findings, policy) else "inconclusive"


def decidable(kind: Kind, findings: Sequence[Finding], *, policy: Policy = STANDARD) -> bool:
    """Whether a verdict is possible with these samples, whatever the model shows.

    Every claim has as many samples as its equivalence needs (80 % power), and at least one claim about traces has as
    many as it takes to find, with 95 % power, what the model before shows. Calculated, not measured: nothing of the
    audited model's own numbers is in it but the spread of its errors.
    """
    claims = _claims(kind, findings, policy)
    traces = {key: claim for key, claim in claims.items() if claim.rule.about_traces}
    complete = all(group & claims.keys() for group in required_for(kind))
    enough = all(claim.contrast.n >= claim.needed(policy.of(key[0])) for key, claim in claims.items())
    found = (c.contrast.n >= c.needed_to_find(policy.of(key[0]), len(traces)) for key, c in traces.items())
    return complete and enough and any(found)


@dataclass(frozen=True)
class _Claim:
    """A rule and what it is applied to."""

    rule: Rule
    contrast: Contrast

    def needed(self, policy: Policy) -> float:
        """Samples from which the claim can be shown."""
        spread, floor = self.contrast.spread, self.contrast.floor
        enough = statistics.needed_for_equivalence(spread, floor, policy.margin, two_sided=self.rule.side == "near")
        return max(enough, self.contrast.least)

    def needed_to_find(self, policy: Policy, claims: int) -> float:
        """Samples from which the model before fails it."""
        beyond = self.rule.sign * self.contrast.control - self.rule.bound(policy)
        spread, floor = self.contrast.spread, self.contrast.floor
        return max(statistics.needed_for_detection(spread, floor, beyond, claims=claims), self.contrast.least)

    def p_value(self, whose: Whose, policy: Policy) -> float:
        """How often a model at the bound shows this much; 1 where no outcome would be surprising."""
        c = self.contrast
        if c.n < c.least:
            return 1.0
        value = self.rule.sign * (c.value if whose == "after" else c.control)
        return statistics.p_value(value, self.rule.bound(policy), sqrt(c.spread**2 / c.n + c.floor**2))

    def holds(self, policy: Policy) -> bool:
        """The 90 % interval excludes what the claim excludes."""
        low, high = statistics.interval(self.contrast.value, self.contrast.error, level=0.9)
        above = self.rule.side == "at_least" or high <= policy.margin
        return above and (self.rule.side == "at_most" or low >= -policy.margin)


def _claims(kind: Kind, findings: Sequence[Finding], policy: Policy) -> dict[Key, _Claim]:
    others = {(f.measure, f.on): f for f in findings}
    found = {}
    for key, rule in rules_for(kind).items():
        contrast = contrast_of(rule, others[key], others, policy.of(key[0])) if key in others else None
        if contrast is not None and contrast.n:
            found[key] = _Claim(rule, contrast)
    return found


def _failed(claims: Mapping[Key, _Claim], whose: Whose, policy: Policy) -> frozenset[Key]:
    """The claims that are not so: those about traces corrected for their number, the others each by itself."""
    p_values = {key: claim.p_value(whose, policy.of(key[0])) for key, claim in claims.items()}
    traces = {key: p for key, p in p_values.items() if claims[key].rule.about_traces}
    return statistics.holm(traces) | {k for k, p in p_values.items() if k not in traces and p <= statistics.LEVEL}


def _finds_the_untouched(kind: Kind, findings: Sequence[Finding], policy: Policy) -> bool:
    claims = _claims(kind, findings, policy)
    return any(claims[key].rule.about_traces for key in _failed(claims, "before", policy))


def _judged(claim: _Claim, finding: Finding, policy: Policy, *, failed: bool) -> Finding:
    needed, p = claim.needed(policy), claim.p_value("after", policy)
    outcome = _outcome(claim, policy, failed=failed)
    words = partial(_reason, claim, policy, needed, p)
    return finding.model_copy(
        update={
            "outcome": outcome,
            "threshold": f"{claim.rule.claim.format(reference=claim.contrast.against)}; margin {policy.margin:.2f}",
            "reason": words(outcome),
            "p_value": p,
            "needed": int(needed) if isfinite(needed) else None,
            "margin": policy.margin,
        }
    )


def _outcome(claim: _Claim, policy: Policy, *, failed: bool) -> Outcome:
    if failed:
        return "fail"
    return "pass" if claim.contrast.n >= claim.needed(policy) and claim.holds(policy) else "inconclusive"


def _reason(claim: _Claim, policy: Policy, needed: float, p: float, outcome: Outcome) -> str:
    c = claim.contrast
    low, high = statistics.interval(c.value, c.error, level=0.9)
    seen = f"difference {c.value:+.3f}, 90 % interval {low:+.3f} to {high:+.3f}"
    if outcome == "fail":
        bound = claim.rule.sign * claim.rule.bound(policy)
        return f"{seen}: beyond {bound:+.2f} (p = {p:.2g}, {c.n} samples)"
    if outcome == "pass":
        return f"{seen}: within {policy.margin:.2f} ({c.n} samples, {needed:.0f} needed)"
    if not isfinite(needed):
        return f"{seen}; no number of forgotten samples would do: too few held-out samples, or gold models too unlike"
    if c.n < needed:
        return f"{needed:.0f} samples would be needed, there were {c.n}; {seen}"
    return f"{seen}: neither within {policy.margin:.2f} nor surely beyond it"
