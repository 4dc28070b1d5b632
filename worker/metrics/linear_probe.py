"""Metric `linear_probe`: do the frozen features still tell a forgotten class from the others?"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from app.metrics.linear_probe import LinearProbeParams
from worker.estimates import Estimate, distance, share
from worker.intervals import wilson
from worker.numerics.concatenation import concatenated
from worker.numerics.device import beside, device
from worker.numerics.examples import Examples
from worker.numerics.features import with_features
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.randomness import derived
from worker.numerics.weights import network_with

TOLERANCE = 1e-3  # of the gradient: closer, the answers stay as they are and the fit takes twice as long


def linear_probe(bench: Bench, params: LinearProbeParams) -> list[Finding]:
    """The share of held-out samples of the class that a linear classifier on the last hidden features recognises.

        h(x): what the last linear layer is given;   multinomial logistic regression of y on h(x), D_f and D_r

    The network is frozen; what the probe can use was already there. A model that never saw the class has features that
    tell it apart too, to some degree: the number means something beside gold's only. A value like the one before says
    that the answers were moved and the knowledge was left. The no-op control draws training samples of its own. Class
    requests only, and networks with a linear layer.

    Source: Alain & Bengio 2017.
    """
    if bench.kind != "class" or not {"forget", "retain", "test_forget"} <= bench.sets.keys():
        return []
    lesson, other = (_lesson(bench, params, control) for control in ("audit", "no-op"))
    estimates = [_recognised(bench, model, lesson) for model in (bench.before, bench.after, *bench.golds)]
    no_op = _recognised(bench, bench.before, other)
    if any(found is None for found in [*estimates, no_op]):
        return []
    before, after, *golds = (found for found in estimates if found is not None)
    distant = distance(after, golds) if golds else None
    n = len(bench.sets["test_forget"])
    return [
        Finding(
            metric=params.name,
            measure="probe_accuracy",
            on="test_forget",
            direction="gold",
            n=n,
            before=before.value,
            after=after.value,
            no_op=no_op.value if no_op else before.value,
            gold=tuple(gold.value for gold in golds),
            interval=wilson(after.value, n),
            attack_feature="the last hidden features",
            caveats=(f"the probe was trained on {len(lesson)} samples",),
            error=after.error,
            gold_interval=distant.interval if distant else None,
            gold_error=distant.error if distant else None,
        )
    ]


def _lesson(bench: Bench, params: LinearProbeParams, control: str) -> Examples:
    """At most so many of each class, of D_f and of D_r."""
    generator = torch.Generator().manual_seed(derived(bench.seed, params.name, control))
    parts = []
    for examples in (bench.sets["forget"], bench.sets["retain"]):
        order = torch.randperm(len(examples), generator=generator)
        labels = examples.labels[order]
        rows = [order[labels == c][: params.per_class] for c in sorted(set(labels.tolist()))]
        parts.append(examples.at(torch.cat(rows)))
    return concatenated(*parts)


def _recognised(bench: Bench, model: Model, lesson: Examples) -> Estimate | None:
    """Right answers about the class; None without hidden features, or with one class only."""
    held_out = bench.sets["test_forget"]
    known, asked = _features(model, lesson), _features(model, held_out)
    if known is None or asked is None or len(set(lesson.labels.tolist())) < 2:
        return None
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=TOLERANCE))
    probe.fit(known.numpy(), lesson.labels.numpy())
    right = probe.predict(asked.numpy()) == held_out.labels.numpy()
    return share(right.astype(np.float64))


def _features(model: Model, examples: Examples) -> Tensor | None:
    """What the last linear layer is given, `(N, features)`."""
    network = network_with(model.build, model.weights).to(device())
    seen = []
    with torch.no_grad():
        for batch in beside(network, examples.batches(512)):
            _, layers = with_features(network, batch.inputs)
            if not layers:
                return None
            seen.append(layers[-1].cpu())
    return torch.cat(seen)
