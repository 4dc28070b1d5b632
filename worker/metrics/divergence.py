"""Metric `divergence`: how far are the answers on D_f from those of retrained models?"""

from collections.abc import Callable
from itertools import permutations
from math import sqrt

import torch
from torch import Tensor

from app.metrics.divergence import DivergenceParams
from worker.numerics import evaluation
from worker.numerics.outcome import Bench, Finding, Model

Between = Callable[[Tensor, Tensor], Tensor]


def divergence(bench: Bench, params: DivergenceParams) -> list[Finding]:
    """Two distances between softmax answers p on D_f and those q of a gold model, averaged over D_f and the golds.

        activation_distance = ‖p − q‖₂                             ≤ √2
        js_divergence       = ½ KL(p ‖ m) + ½ KL(q ‖ m),  m = ½(p + q)     ≤ ln 2, nats

    `gold` is the floor: each gold model's distance to the others. Nothing is drawn, so the no-op control equals
    `before`. The interval is that of the mean over the samples. Without gold or D_f no finding.

    Source: Golatkar et al. 2021; Chundawat et al. 2023; Lin 1991.
    """
    if "forget" not in bench.sets or not bench.golds:
        return []
    before, after, *golds = (_answers(bench, model) for model in (bench.before, bench.after, *bench.golds))
    return [
        _finding(params.name, measure, between, before, after, golds)
        for measure, between in (("activation_distance", activation_distance), ("js_divergence", jensen_shannon))
    ]


def activation_distance(p: Tensor, q: Tensor) -> Tensor:
    """The Euclidean norm ‖p − q‖₂ of each row, `(N, C)` to `(N,)`."""
    return (p - q).square().sum(dim=1).sqrt()


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of each row in nats, `(N, C)` to `(N,)`; 0 log 0 is 0."""
    middle = (p + q) / 2
    return (_kl(p, middle) + _kl(q, middle)) / 2


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=1)


def _answers(bench: Bench, model: Model) -> Tensor:
    logits = evaluation.logits(model, bench.sets["forget"], run=bench.run).double()
    return logits.softmax(dim=1)


def _finding(name: str, measure: str, between: Between, before: Tensor, after: Tensor, golds: list[Tensor]) -> Finding:
    def to_golds(answers: Tensor) -> Tensor:
        return torch.stack([between(answers, gold) for gold in golds]).mean(dim=0)

    values, untouched = to_golds(after), float(to_golds(before).mean())
    centre, n = float(values.mean()), len(values)
    error = float(values.std()) / sqrt(n) if n > 1 else centre
    floor = [float(between(a, b).mean()) for a, b in permutations(golds, 2)]
    return Finding(
        metric=name,
        measure=measure,
        on="forget",
        direction="lower",
        n=n,
        before=untouched,
        after=centre,
        no_op=untouched,
        gold=tuple(floor),
        interval=(max(0.0, centre - 1.96 * error), centre + 1.96 * error),
        caveats=() if floor else ("a single retrained model: how far two of them lie apart is not known",),
        error=error,
    )
