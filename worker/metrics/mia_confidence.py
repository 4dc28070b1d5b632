"""Metric `mia_confidence`: does an attacker who knows D_r take D_f for training data, by one number of the answer?"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain

import numpy as np
from torch import Tensor

from app.metrics.mia_confidence import MiaConfidenceParams, ThresholdAttack
from worker.intervals import Scores, wilson
from worker.numerics.answers import Answers, answers
from worker.numerics.draws import Draw, matched
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.randomness import derived

Score = Callable[[Answers], Tensor]
SCORES: Mapping[ThresholdAttack, Score] = {
    "confidence": lambda answers: answers.loss,
    "entropy": lambda answers: answers.entropy,
    "modified_entropy": lambda answers: answers.modified_entropy,
}
"""What members have less of; correctness needs no threshold."""
UNSTEADY: Mapping[ThresholdAttack, str] = {
    "entropy": "by entropy this share differs by up to 15 points between seeds: nothing may rest on it"
}


def mia_confidence(bench: Bench, params: MiaConfidenceParams) -> list[Finding]:
    """For each attack the fraction of D_f that it takes for members, and its complement.

        confidence          member ⇔ p_θ(y | x) ≥ τ
        correctness         member ⇔ argmax f_θ(x) = y
        entropy             member ⇔ −Σᵢ pᵢ log pᵢ ≤ τ
        modified_entropy    member ⇔ −(1 − p_y) log p_y − Σ_{i≠y} pᵢ log(1 − pᵢ) ≤ τ

        predicted_member = 1/|D_f| Σ 1[member]             what Golatkar et al. and DeepClean report as MIA
        efficacy         = 1 − predicted_member            what SalUn reports as MIA

    τ is the best at telling D_r from held-out samples (equally many, same class mix), one for all classes. It is fitted
    to each model and attack on its own, on the same draw; D_f takes no part in it. All are judged by their distance to
    gold, never to 0.5: with a model that never saw D_f, many of its samples pass for members too. The no-op control
    attacks the untouched model with a draw of its own; without a threshold there is no draw, and it is the value
    before. The interval is Wilson's for the samples of D_f at this τ, not for the choice of τ.

    Without D_r, held-out data or D_f there is no attack, and no finding.

    Source: Song & Mittal 2021, §4; Shi et al. 2023; Golatkar et al. 2020; Fan et al. 2024.
    """
    if not {"forget", "retain", "test"} <= bench.sets.keys() or not len(bench.sets["forget"]):
        return []
    labels = bench.sets["retain"].labels, bench.sets["test"].labels
    draw, other_draw = (
        matched(*labels, seed=derived(bench.seed, params.name, control)) for control in ("audit", "no-op")
    )
    if not len(draw.members):
        return []
    return list(chain.from_iterable(_pair(bench, params, attack, draw, other_draw) for attack in params.attacks))


def _pair(
    bench: Bench, params: MiaConfidenceParams, attack: ThresholdAttack, draw: Draw, other_draw: Draw
) -> tuple[Finding, Finding]:
    """What one attack finds, under both of its names."""
    before, after, *golds = (
        _predicted_member(bench, model, attack, draw) for model in (bench.before, bench.after, *bench.golds)
    )
    no_op, n = _predicted_member(bench, bench.before, attack, other_draw), len(bench.sets["forget"])
    low, high = wilson(after, n)
    member = Finding(
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
        attack_feature=attack,
        caveats=_caveats(bench, attack, draw),
    )
    efficacy = replace(
        member,
        measure="efficacy",
        before=1 - before,
        after=1 - after,
        no_op=1 - no_op,
        gold=tuple(1 - gold for gold in golds),
        interval=(1 - high, 1 - low),
    )
    return member, efficacy


def largest_member_score(members: Scores, others: Scores) -> float:
    """The score up to which the attack says "member", with the most accurate threshold on these samples.

    Scores are what members have less of: losses instead of confidences, because a confidence rounds to 1 where a loss
    still tells samples apart. Of equally accurate thresholds the smallest; −∞ (nobody is a member) where none beats
    guessing.

    Args:
        members: scores of members, `(m,)`.
        others: scores of non-members, `(n,)`.
    """
    candidates = np.unique(np.concatenate([members, others]))
    found = np.searchsorted(np.sort(members), candidates, side="right") / len(members)
    mistaken = np.searchsorted(np.sort(others), candidates, side="right") / len(others)
    best = int((found - mistaken).argmax())
    return float(candidates[best]) if found[best] > mistaken[best] else float("-inf")


def _predicted_member(bench: Bench, model: Model, attack: ThresholdAttack, draw: Draw) -> float:
    if attack == "correctness":
        return float(answers(bench, model, "forget").right.double().mean())
    retain, test, forget = (SCORES[attack](answers(bench, model, on)).numpy() for on in ("retain", "test", "forget"))
    largest = largest_member_score(retain[draw.members.numpy()], test[draw.others.numpy()])
    return float((forget <= largest).mean())


def _caveats(bench: Bench, attack: ThresholdAttack, draw: Draw) -> tuple[str, ...]:
    if attack == "correctness":
        return ()  # nothing was fitted
    caveats = [UNSTEADY[attack]] if attack in UNSTEADY else []
    if missing := set(bench.sets["forget"].labels.tolist()) - set(bench.sets["retain"].labels[draw.members].tolist()):
        caveats.append(f"the attack was built without classes {', '.join(map(str, sorted(missing)))}, which D_f has")
    if len(draw.members) < 100:
        caveats.append(f"the attack was built on {len(draw.members)} samples a side only")
    return tuple(caveats)
