"""Metric `accuracy`: how often the models are right, on every set that the request has."""

from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from app.metrics.accuracy import AccuracyParams
from worker.contrasts import binomial_spread, with_golds, with_held_out
from worker.estimates import distance, gap, share
from worker.intervals import Scores, wilson
from worker.numerics.answers import answers
from worker.numerics.outcome import Bench, Contrast, Direction, Finding, Kind, Model

LabelArray = NDArray[np.int64]
ON_FORGET: dict[Kind, Direction] = {
    "samples": "gold",  # a model that never saw them is right about most of them too
    "subjects": "gold",
    "class": "lower",
    "backdoor": "lower",  # being right about a triggered image is obeying the trigger
    "leakage": "higher",  # the leaked feature goes, the task stays
}
"""Which way the accuracy on D_f should go."""


def accuracy(bench: Bench, params: AccuracyParams) -> list[Finding]:
    """Share of right answers on every set of the bench, for every model.

        acc = 1/n Σ 1[argmax f_θ(x) = y],   silenced classes left out of the argmax

    Nothing is drawn, so the no-op control equals `before`; the interval is Wilson's. Where single samples are
    forgotten, the accuracy on D_f is contrasted with that of the same model on held-out data of the same class mix,
    and, with gold models, with how far theirs lie apart on the same samples: D_f may be easier than held-out data for
    a model that never saw either.

    Source: Hayase et al. 2020, Table 2 and Figure 4; for the caveat see `decisive_from`.
    """
    return [_on(bench, name, params) for name, examples in bench.sets.items() if len(examples)]


def _on(bench: Bench, name: str, params: AccuracyParams) -> Finding:
    models = bench.before, bench.after, *bench.golds
    before, after, *golds = (share(_right(bench, model, name)) for model in models)
    distant = distance(after, golds) if golds else None
    n = len(bench.sets[name])
    return Finding(
        metric=params.name,
        measure="accuracy",
        on=name,
        direction=direction(name, bench.kind),
        n=n,
        before=before.value,
        after=after.value,
        no_op=before.value,
        gold=tuple(gold.value for gold in golds),
        interval=wilson(after.value, n),
        caveats=_caveats(bench, name),
        error=after.error,
        gold_interval=distant.interval if distant else None,
        gold_error=distant.error if distant else None,
        contrast=_contrast(bench) if name == "forget" and direction(name, bench.kind) == "gold" else None,
    )


def _contrast(bench: Bench) -> Contrast | None:
    """D_f against held-out data of the same class mix; classes that held-out data lack are left out."""
    if "test" not in bench.sets:
        return None
    forgotten, held_out = (bench.sets[name].labels.numpy() for name in ("forget", "test"))
    known = np.isin(forgotten, held_out)
    if not known.any():
        return None
    weights = class_weights(forgotten[known], held_out)
    used = weights > 0
    before, after, *golds = (
        gap(_right(bench, model, "forget")[known], _right(bench, model, "test")[used], weights[used])
        for model in (bench.before, bench.after, *bench.golds)
    )
    expected = float((weights * _right(bench, bench.after, "test")).sum())
    least = decisive_from(expected)
    if golds:
        spread = binomial_spread(expected, int(used.sum()))
        against = "a model retrained without them"
        return with_golds(after, before, golds, against=against, expected_spread=spread, least=least)
    against = "the same model answers held-out samples of the same classes"
    return with_held_out(after, before, held_out=expected, against=against, least=least)


def class_weights(forgotten: LabelArray, held_out: LabelArray) -> Scores:
    """What each held-out sample counts, so that together they have the class mix of D_f.

        w_j = share of class y_j in D_f / number of held-out samples of the class,   Σ w = 1

    Args:
        forgotten: labels `(n,)`, all of which held-out data have.
        held_out: labels `(m,)`.
    """
    top = int(max(forgotten.max(), held_out.max())) + 1
    shares, counts = np.bincount(forgotten, minlength=top) / len(forgotten), np.bincount(held_out, minlength=top)
    return (shares / np.maximum(counts, 1))[held_out]


def _right(bench: Bench, model: Model, name: str) -> Scores:
    return answers(bench, model, name).right.double().numpy()


def _caveats(bench: Bench, name: str) -> tuple[str, ...]:
    """Too few forgotten samples for an accuracy to say anything."""
    if name != "forget" or direction(name, bench.kind) != "gold" or not len(bench.sets.get("test", ())):
        return ()
    n, enough = len(bench.sets[name]), decisive_from(float(_right(bench, bench.before, "test").mean()))
    if n >= enough:
        return ()
    return (f"{n} samples are too few: below {enough}, even all right is no surprise for a model that never saw them",)


def direction(name: str, kind: Kind) -> Direction:
    """Which way the accuracy on this set should go in a request of this kind."""
    if name == "forget":
        return ON_FORGET[kind]
    return "lower" if name == "test_forget" else "higher"


def decisive_from(right: float) -> int:
    """The samples it takes until even all-right is surprising for a model that is right this often.

        n = ⌈ln 0.05 / ln acc⌉: below it, acc^n > 0.05

    Args:
        right: accuracy on held-out data; taken as at least 0.001 and at most 0.999.
    """
    return ceil(log(0.05) / log(min(max(right, 1e-3), 1 - 1e-3)))
