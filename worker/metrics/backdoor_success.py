"""Metric `backdoor_success`: does the trigger still lead inputs to its class?"""

from functools import partial

import torch
from torch import Tensor

from app.metrics.backdoor_success import BackdoorSuccessParams
from worker.estimates import distance, share
from worker.intervals import Scores, wilson
from worker.numerics import evaluation
from worker.numerics.outcome import Bench, Direction, Finding, Model


def backdoor_success(bench: Bench, params: BackdoorSuccessParams) -> list[Finding]:
    """How held-out samples with the trigger are answered whose own class is another.

        attack_success_rate = share answered with the trigger's class
        robust_accuracy     = share answered with their own

    The trigger's class is the label of D_f. Held-out samples of that class are left out: answering them with it is no
    success of the attack. Accuracy without the trigger is metric `accuracy` on `test`. Nothing is drawn, so the no-op
    control equals `before`. Without T, or with D_f of several classes, no finding.

    Source: Gu et al. 2017; Wu et al. 2022, §3.
    """
    if bench.kind != "backdoor" or not {"forget", "test_extra"} <= bench.sets.keys():
        return []
    targets = set(bench.sets["forget"].labels.tolist())
    if len(targets) != 1:
        return []
    (target,) = targets
    if not (bench.sets["test_extra"].labels != target).any():
        return []
    answers = [_answers(bench, model, target) for model in (bench.before, bench.after, *bench.golds)]
    find = partial(_finding, params.name, target)
    return [
        find("attack_success_rate", "lower", [_scores(given == target) for given, _ in answers]),
        find("robust_accuracy", "higher", [_scores(given == labels) for given, labels in answers]),
    ]


def _answers(bench: Bench, model: Model, target: int) -> tuple[Tensor, Tensor]:
    """Answers and labels of the samples whose class is another."""
    examples = bench.sets["test_extra"]
    others = examples.labels != target
    given = evaluation.logits(model, examples, run=bench.run).argmax(1)
    return given[others], examples.labels[others]


def _scores(hits: Tensor) -> Scores:
    return hits.to(torch.float64).numpy()


def _finding(name: str, target: int, measure: str, direction: Direction, hits: list[Scores]) -> Finding:
    before, after, *golds = (share(found) for found in hits)
    distant = distance(after, golds) if golds else None
    n = len(hits[0])
    return Finding(
        metric=name,
        measure=measure,
        on="test_extra",
        direction=direction,
        n=n,
        before=before.value,
        after=after.value,
        no_op=before.value,
        gold=tuple(gold.value for gold in golds),
        interval=wilson(after.value, n),
        caveats=(f"samples of class {target}, the trigger's own, are left out",),
        error=after.error,
        gold_interval=distant.interval if distant else None,
        gold_error=distant.error if distant else None,
    )
