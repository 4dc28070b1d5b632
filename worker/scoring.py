"""From an attack's scores to its findings: the area under the ROC curve and rates on it, with their controls."""

from math import floor
from typing import Protocol

import numpy as np

from worker.attacks import Attack, Sides, caveats
from worker.contrasts import with_chance
from worker.estimates import distance, roc_area
from worker.intervals import Scores, delong, wilson
from worker.numerics.outcome import Bench, Finding, Model


class Score(Protocol):
    """An attack."""

    def __call__(self, model: Model, *, control: bool = False) -> Sides | None:
        """Scores under a model, the larger the likelier a member, of the no-op control's draw if asked.

        None for a model that cannot be attacked: the only reference, by itself.
        """


def area_finding(
    bench: Bench, attack: Attack, score: Score, *, metric: str, measure: str, feature: str, notes: tuple[str, ...] = ()
) -> Finding:
    """The area of an attack whose scores are calibrated: 0.5 for a model that never saw D_f.

    Args:
        bench: the models.
        attack: who is attacked.
        score: gives scores for `before` and `after`, and for those gold models that can be attacked.
        metric: its name.
        measure: the finding's.
        feature: what the attack looks at, in words.
        notes: further caveats.
    """
    sides = score(bench.after)
    before, control = score(bench.before), score(bench.before, control=True)
    if sides is None or before is None or control is None:
        raise ValueError(f"{metric} gives no scores for the models that it is asked about")
    after = roc_area(*sides)
    golds = [roc_area(*found) for gold in bench.golds if (found := score(gold)) is not None]
    distant = distance(after, golds) if golds else None
    return Finding(
        metric=metric,
        measure=measure,
        on="forget",
        direction="gold",
        n=attack.total,
        before=roc_area(*before).value,
        after=after.value,
        no_op=roc_area(*control).value,
        gold=tuple(gold.value for gold in golds),
        interval=delong(*sides),
        attack_feature=feature,
        caveats=(*caveats(bench, attack), *notes, *(() if golds or not bench.golds else (ALONE,))),
        error=after.error,
        gold_interval=distant.interval if distant else None,
        gold_error=distant.error if distant else None,
        contrast=with_chance(after, roc_area(*before), against="a model that never saw it"),
    )


ALONE = "the only retrained model is the reference: it cannot be attacked by itself"


def found_at(forgotten: Scores, held_out: Scores, rate: float) -> float:
    """TPR at an FPR: the share of D_f above the score that at most this share of held-out samples exceeds.

    Args:
        forgotten: scores `(n,)`.
        held_out: scores `(m,)`; the threshold is the (⌊rate·m⌋ + 1)-th largest.
        rate: FPR in [0, 1).
    """
    threshold = np.sort(held_out)[::-1][floor(rate * len(held_out))]
    return float((forgotten > threshold).mean())


def rate_finding(bench: Bench, attack: Attack, score: Score, rate: float, *, metric: str, measure: str) -> Finding:
    """TPR at a small FPR; how well the surest guesses do. Arguments as for `area_finding`."""

    def at(model: Model, *, control: bool = False) -> float | None:
        sides = score(model, control=control)
        return None if sides is None else found_at(*sides, rate)

    after, before, no_op = at(bench.after), at(bench.before), at(bench.before, control=True)
    if after is None or before is None or no_op is None:
        raise ValueError(f"{metric} gives no scores for the models that it is asked about")
    held_out = len(attack.draw.others)
    coarse = (f"{held_out} held-out samples cannot show a rate of {rate:g}",) if held_out * rate < 1 else ()
    return Finding(
        metric=metric,
        measure=measure,
        on="forget",
        direction="gold",
        n=attack.n,
        before=before,
        after=after,
        no_op=no_op,
        gold=tuple(found for gold in bench.golds if (found := at(gold)) is not None),
        interval=wilson(after, attack.n),
        attack_feature=f"at a false positive rate of {rate:g}",
        caveats=(*caveats(bench, attack), *coarse),
    )
