"""What a judged number is compared with, where the metric itself did not say: gold, other sets, fixed values."""

from collections.abc import Mapping
from math import inf, sqrt

from app.domain.findings import Contrast, Finding
from app.domain.rules import NAMES, Policy, Rule
from app.domain.statistics import proportion_spread, quantile

Others = Mapping[tuple[str, str], Finding]


def contrast_of(rule: Rule, finding: Finding, others: Others, policy: Policy) -> Contrast | None:
    """How far a number lies from what never having seen the data would show; None: there is nothing to compare with.

    The metric's own contrast if it has one. Else the difference to the gold models' mean, on the same samples; else to
    the rule's fallback: a number, the model before, or the same model on another set.
    """
    if finding.contrast is not None:
        return finding.contrast
    if finding.gold is not None:
        return _to_gold(finding, finding.gold.mean, rule.sign * rule.bound(policy))
    shift = rule.sign * rule.bound(policy)
    if isinstance(rule.fallback, float):
        return _to(rule.fallback, f"a model that knows nothing of it ({rule.fallback:.3f})", finding, shift)
    if rule.fallback == "before":
        return _to(finding.before, f"the model before ({finding.before:.3f})", finding, shift)
    other = others.get((finding.measure, rule.fallback))
    if other is None:
        return None
    against = f"the same model on {NAMES[rule.fallback]} ({other.after:.3f})"
    floor = proportion_spread(other.after, other.n) / sqrt(other.n)
    return _to(other.after, against, finding, shift, floor=floor, control=finding.before - other.before)


def missing(rule: Rule) -> str:
    """Why there is no contrast."""
    name = NAMES.get(str(rule.fallback), str(rule.fallback))
    return f"there is neither a gold model nor a value on {name} to compare with"


def _to_gold(finding: Finding, gold: float, shift: float) -> Contrast:
    against = f"a model retrained without it ({gold:.3f})"
    if finding.difference_interval is None:
        return _to(gold, against, finding, shift)
    low, high = finding.difference_interval
    error = (high - low) / 2 / quantile(0.975)
    return Contrast(
        against=against,
        value=finding.after - gold,
        error=error,
        control=finding.before - gold,
        n=finding.n,
        spread=max(error, _least_error(finding)) * sqrt(finding.n),
        floor=0.0,
    )


def _to(
    target: float, against: str, finding: Finding, shift: float, *, floor: float = 0.0, control: float | None = None
) -> Contrast:
    at_bound = min(1.0, max(0.0, target + shift))  # a test asks what would be seen if the truth were just harmless
    return Contrast(
        against=against,
        value=finding.after - target,
        error=sqrt(max(_error(finding), _least_error(finding)) ** 2 + floor**2),
        control=finding.before - target if control is None else control,
        n=finding.n,
        spread=proportion_spread(at_bound, finding.n),
        floor=floor,
    )


def _error(finding: Finding) -> float:
    if finding.standard_error is not None:
        return finding.standard_error
    low, high = finding.interval
    return (high - low) / 2 / quantile(0.975)


def _least_error(finding: Finding) -> float:
    """One sample more could have come out otherwise."""
    return 1 / finding.n if finding.n else inf
