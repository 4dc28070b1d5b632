"""Metric `mia_confidence`: does an attacker who knows D_r take D_f for training data, by the model's confidence?"""

import numpy as np

from app.metrics.mia_confidence import MiaConfidenceParams
from worker.intervals import Scores, wilson
from worker.numerics.answers import answers
from worker.numerics.draws import Draw, matched
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.randomness import derived


def mia_confidence(bench: Bench, params: MiaConfidenceParams) -> list[Finding]:
    """The fraction of D_f that a threshold attack takes for members, and its complement.

        member ⇔ p_θ(y | x) ≥ τ,   τ the best at telling D_r from held-out samples (equally many, same class mix)

        predicted_member = 1/|D_f| Σ 1[p_θ(y | x) ≥ τ]     what Golatkar et al. and DeepClean report as MIA
        efficacy         = 1 − predicted_member            what SalUn reports as MIA

    τ is fitted to each model on its own; D_f takes no part in it. Both are judged by their distance to gold, never to
    0.5: with a model that never saw D_f, many of its samples pass for members too. The no-op control attacks the
    untouched model with a draw of its own. The interval is Wilson's for the samples of D_f at this τ, not for the
    choice of τ.

    Without D_r, held-out data or D_f there is no attack, and no finding.

    Source: Song & Mittal 2021, §4 (the confidence attack); Shi et al. 2023; Golatkar et al. 2020; Fan et al. 2024.
    """
    if not {"forget", "retain", "test"} <= bench.sets.keys() or not len(bench.sets["forget"]):
        return []
    labels = bench.sets["retain"].labels, bench.sets["test"].labels
    draw, other_draw = (
        matched(*labels, seed=derived(bench.seed, params.name, control)) for control in ("audit", "no-op")
    )
    if not len(draw.members):
        return []
    before, after, *golds = (
        _predicted_member(bench, model, draw) for model in (bench.before, bench.after, *bench.golds)
    )
    no_op, n = _predicted_member(bench, bench.before, other_draw), len(bench.sets["forget"])
    low, high = wilson(after, n)
    finding = Finding(
        metric=params.name,
        measure="predicted_member",
        on="forget",
        direction="gold",
        n=n,
        before=before,
        after=after,
        no_op=no_op,
        gold=tuple(golds),
        interval=(low, high),
        attack_feature="confidence",
        caveats=_caveats(bench, draw),
    )
    efficacy = Finding(
        metric=params.name,
        measure="efficacy",
        on="forget",
        direction="gold",
        n=n,
        before=1 - before,
        after=1 - after,
        no_op=1 - no_op,
        gold=tuple(1 - gold for gold in golds),
        interval=(1 - high, 1 - low),
        attack_feature="confidence",
        caveats=finding.caveats,
    )
    return [finding, efficacy]


def largest_member_loss(members: Scores, others: Scores) -> float:
    """The loss up to which the attack says "member": −ln τ, with τ the most accurate threshold on these samples.

    Losses instead of confidences, because a confidence rounds to 1 where a loss still tells samples apart. Of equally
    accurate thresholds the smallest loss; −∞ (nobody is a member) where no threshold beats guessing.

    Args:
        members: losses of members, `(m,)`.
        others: losses of non-members, `(n,)`.
    """
    candidates = np.unique(np.concatenate([members, others]))
    found = np.searchsorted(np.sort(members), candidates, side="right") / len(members)
    mistaken = np.searchsorted(np.sort(others), candidates, side="right") / len(others)
    best = int((found - mistaken).argmax())
    return float(candidates[best]) if found[best] > mistaken[best] else float("-inf")


def _predicted_member(bench: Bench, model: Model, draw: Draw) -> float:
    retain, test, forget = (answers(bench, model, name).loss for name in ("retain", "test", "forget"))
    largest = largest_member_loss(retain[draw.members].numpy(), test[draw.others].numpy())
    return float((forget.numpy() <= largest).mean())


def _caveats(bench: Bench, draw: Draw) -> tuple[str, ...]:
    caveats = []
    if missing := set(bench.sets["forget"].labels.tolist()) - set(bench.sets["retain"].labels[draw.members].tolist()):
        caveats.append(f"the attack was built without classes {', '.join(map(str, sorted(missing)))}, which D_f has")
    if len(draw.members) < 100:
        caveats.append(f"the attack was built on {len(draw.members)} samples a side only")
    return tuple(caveats)
