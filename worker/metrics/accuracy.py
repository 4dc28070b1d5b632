"""Metric `accuracy`: how often the models are right, on every set that the request has."""

from math import ceil, log

from app.metrics.accuracy import AccuracyParams
from worker.intervals import wilson
from worker.numerics import evaluation
from worker.numerics.outcome import Bench, Direction, Finding, Kind, Model

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

    Nothing is drawn, so the no-op control equals `before`; the interval is Wilson's.

    Source: Hayase et al. 2020, Table 2 and Figure 4; for the caveat see `decisive_from`.
    """
    return [_on(bench, name, params) for name, examples in bench.sets.items() if len(examples)]


def _on(bench: Bench, name: str, params: AccuracyParams) -> Finding:
    examples = bench.sets[name]
    before, after, *golds = (_share(bench, model, name) for model in (bench.before, bench.after, *bench.golds))
    return Finding(
        metric=params.name,
        measure="accuracy",
        on=name,
        direction=direction(name, bench.kind),
        n=len(examples),
        before=before,
        after=after,
        no_op=before,
        gold=tuple(golds),
        interval=wilson(after, len(examples)),
        caveats=_caveats(bench, name),
    )


def _share(bench: Bench, model: Model, name: str) -> float:
    examples = bench.sets[name]
    return evaluation.accuracy(evaluation.logits(model, examples, run=bench.run), examples.labels)


def _caveats(bench: Bench, name: str) -> tuple[str, ...]:
    """Too few forgotten samples for an accuracy to say anything."""
    held_out = bench.sets.get("test")
    if name != "forget" or direction(name, bench.kind) != "gold" or not held_out:
        return ()
    n, enough = len(bench.sets[name]), decisive_from(_share(bench, bench.before, "test"))
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
