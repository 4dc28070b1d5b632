"""What a ladder of methods does after each audit: stop, climb on, and which rung to publish. Pure rules.

A rung that passes is the last one. A claim that is not so is a reason to try a stronger method. A claim that is merely
undecided is one only if a stronger method could decide it: how many samples there are does not depend on the method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from app.core.params import Kind
from app.domain.contrasts import contrast_of
from app.domain.findings import Contrast, Finding
from app.domain.report import Rung
from app.domain.rules import STANDARD, Policy, Rule, rules_for
from app.domain.statistics import LEVEL, quantile
from app.domain.verdict import Verdict, decidable, judge, verdict

EVERYTHING = 0.95
"""A selection of more weights than this is none."""
UNMOVED = 0.01
"""Less is no movement."""


@dataclass(frozen=True)
class Assessment:
    """What an audit says about one rung."""

    verdict: Verdict
    enough: bool
    """No later rung need be tried."""
    why: str
    rank: tuple[bool, int, float]
    """No pass, failed claims, by how much they fail together: the smallest is the best."""


def assess(
    kind: Kind, findings: Sequence[Finding], *, changes_weights: bool = True, policy: Policy = STANDARD
) -> Assessment:
    """Judge the findings of a rung, and decide whether a later one is needed.

    With a pass it is enough. With a claim that is not so, climb. With none such it is enough where no method could
    reach a pass with these samples and what traces the model before shows have become smaller; else climb.
    """
    judged = judge(kind, findings, policy=policy)
    result = verdict(kind, judged, changes_weights=changes_weights, policy=policy)
    failed = [finding for finding in judged if finding.outcome == "fail"]
    excess = sum(_excess(kind, finding, judged, policy) for finding in failed)
    rank = (result != "pass", len(failed), round(excess, 6))
    if result == "pass":
        return Assessment(result, enough=True, why="every claim was shown", rank=rank)
    if failed:
        return Assessment(result, enough=False, why=f"not so: {_named(failed)}", rank=rank)
    undecided = _named([finding for finding in judged if finding.outcome == "inconclusive"]) or "the audit itself"
    if _hopeless(kind, judged, policy) and moved_as_wanted(kind, judged, policy=policy):
        why = f"no method could be shown to have forgotten with these samples; undecided: {undecided}"
        return Assessment(result, enough=True, why=why, rank=rank)
    return Assessment(result, enough=False, why=f"undecided: {undecided}", rank=rank)


def moved_as_wanted(kind: Kind, findings: Sequence[Finding], *, policy: Policy = STANDARD) -> bool:
    """What surely stood out before has become smaller somewhere, and larger nowhere; or nothing stood out.

    A claim about traces stands out if the model before lies beyond what a model that never saw D_f would show in 19 of
    20 cases, c > z₀.₉₅ √(spread²/n + floor²): a method can be seen to work by no other.
    """
    gains = [
        _distance(rule, contrast.control) - _distance(rule, contrast.value)
        for rule, contrast in _traces(kind, findings, policy)
        if contrast.n >= contrast.least
        and rule.sign * contrast.control
        > quantile(1 - LEVEL) * sqrt(contrast.spread**2 / contrast.n + contrast.floor**2)
    ]
    return not gains or (max(gains) >= UNMOVED and min(gains) > -UNMOVED)


def said(rungs: Sequence[Rung]) -> list[str]:
    """What a ladder adds to the report's sentences; nothing where one method was asked for."""
    if len(rungs) < 2:
        return []
    tried = [f"{rung.method['name']} ({rung.verdict or 'failed'}: {rung.left})" for rung in rungs]
    sentences = [f"{len(rungs)} methods were tried, each from the deployed version on: {'; '.join(tried)}."]
    if not any(rung.verdict == "pass" for rung in rungs):
        name = next(rung.method["name"] for rung in rungs if rung.published)
        sentences.append(
            f"None of them passed. Published is what {name} made: the fewest claims that are not so, and of equals the"
            " one that misses its bounds by least."
        )
    return sentences


def warned(facts: Mapping[str, float | int | str]) -> list[str]:
    """The warnings among what the methods noted, and one if the selection took (almost) every weight."""
    warnings = [f"Warning: {facts[name]}." for name in sorted(facts) if name.endswith("_warning")]
    share = facts.get("selected_fraction", 0.0)
    if isinstance(share, float) and share > EVERYTHING:
        warnings.append(
            f"Warning: the method selected {share:.1%} of all weights, so that its selection means nothing."
        )
    return warnings


def _hopeless(kind: Kind, judged: Sequence[Finding], policy: Policy) -> bool:
    """No pass is possible: too few samples, something not measured, or an audit that cannot see the model before."""
    perfect = [f if f.outcome == "not_judged" else f.model_copy(update={"outcome": "pass"}) for f in judged]
    possible = verdict(kind, perfect, changes_weights=True, policy=policy) == "pass"
    return not (possible and decidable(kind, judged, policy=policy))


def _traces(kind: Kind, findings: Sequence[Finding], policy: Policy) -> list[tuple[Rule, Contrast]]:
    others = {(f.measure, f.on): f for f in findings}
    rules = {key: rule for key, rule in rules_for(kind).items() if rule.about_traces and key in others}
    found = [(rule, contrast_of(rule, others[key], others, policy.of(key[0]))) for key, rule in rules.items()]
    return [(rule, contrast) for rule, contrast in found if contrast is not None and contrast.n]


def _distance(rule: Rule, value: float) -> float:
    """How far from what never having seen D_f shows; where one side is harmless, on the other."""
    return abs(value) if rule.side == "near" else max(0.0, rule.sign * value)


def _excess(kind: Kind, finding: Finding, others: Sequence[Finding], policy: Policy) -> float:
    """How far beyond its bound a failed claim lies."""
    rule = rules_for(kind)[finding.measure, finding.on]
    own = policy.of(finding.measure)
    contrast = contrast_of(rule, finding, {(f.measure, f.on): f for f in others}, own)
    return 0.0 if contrast is None else rule.sign * contrast.value - rule.bound(own)


def _named(findings: Sequence[Finding]) -> str:
    def one(finding: Finding) -> str:
        needed = f", {finding.needed} needed" if finding.needed is not None and finding.needed > finding.n else ""
        return f"{finding.measure.replace('_', ' ')} on {finding.on} (n = {finding.n}{needed})"

    return ", ".join(map(one, findings))
