"""Measured facts as they stand in a report: plain numbers, no judgement."""

from dataclasses import asdict
from statistics import mean, pstdev

from app.domain.findings import Contrast, Gold
from app.domain.findings import Finding as Reported
from worker.numerics.outcome import Finding


def reported(finding: Finding, *, seed: int) -> Reported:
    """A metric's finding for the report.

    Args:
        finding: as measured.
        seed: of the audit's draws.
    """
    gold = Gold(mean=mean(finding.gold), std=pstdev(finding.gold), models=len(finding.gold)) if finding.gold else None
    return Reported(
        metric=finding.metric,
        measure=finding.measure,
        on=finding.on,
        direction=finding.direction,
        attack_feature=finding.attack_feature,
        n=finding.n,
        seed=seed,
        before=finding.before,
        after=finding.after,
        no_op=finding.no_op,
        gold=gold,
        difference_to_gold=None if gold is None else finding.after - gold.mean,
        interval=finding.interval,
        caveats=finding.caveats,
        standard_error=finding.error,
        difference_interval=finding.gold_interval,
        contrast=None if finding.contrast is None else Contrast(**asdict(finding.contrast)),
    )
