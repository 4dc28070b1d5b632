"""Where a model stands on D_f, D_r and held-out data, and how far from gold models that is, in points."""

from collections.abc import Sequence
from math import prod
from statistics import mean
from typing import NamedTuple, Self

from torch import Tensor

from worker.intervals import Scores
from worker.metrics.mia import attack_auc
from worker.metrics.mia_confidence import largest_member_score
from worker.numerics import evaluation
from worker.numerics.draws import Draw, matched
from worker.numerics.examples import Examples
from worker.numerics.outcome import Model
from worker.numerics.randomness import derived


class Sets(NamedTuple):
    """What a model is asked about."""

    forget: Examples
    retain: Examples
    test: Examples  # held out, without a forgotten class
    twin: Examples  # held out, of D_f's classes

    @classmethod
    def of(cls, forget: Examples, retain: Examples, held_out: Examples, forgotten: int | None) -> Self:
        """Held-out data split by the forgotten class, if there is one."""
        if forgotten is None:
            return cls(forget, retain, held_out, held_out)
        return cls(
            forget, retain, held_out.where(held_out.labels != forgotten), held_out.where(held_out.labels == forgotten)
        )


class Standing(NamedTuple):
    """Six figures of one model, in percent."""

    acc_df: float
    acc_dr: float
    acc_test: float
    acc_twin: float
    mia: float  # share of D_f that a confidence attack takes for members (`mia_confidence`)
    auc: float  # of the loss, D_f against held-out samples of its classes


def standing(model: Model, sets: Sets, *, seed: int) -> Standing:
    """Ask a model about everything once.

    Args:
        model: to judge.
        sets: D_f, D_r and held-out data.
        seed: of the draw that the confidence attack is built on; the same for all models that are compared.
    """
    answers = {name: evaluation.logits(model, examples) for name, examples in sets._asdict().items()}
    labels = {name: examples.labels for name, examples in sets._asdict().items()}
    right = {name: 100 * evaluation.accuracy(answers[name], labels[name]) for name in answers}
    losses = {name: _losses(answers[name], labels[name]) for name in answers}
    draw = matched(labels["retain"], labels["test"], seed=derived(seed, "mia_confidence", "audit"))
    return Standing(
        acc_df=right["forget"],
        acc_dr=right["retain"],
        acc_test=right["test"],
        acc_twin=right["twin"],
        mia=predicted_member(losses["forget"], losses["retain"], losses["test"], draw),
        auc=100 * attack_auc(losses["forget"], losses["twin"]),
    )


def predicted_member(forgotten: Scores, retained: Scores, held_out: Scores, draw: Draw) -> float:
    """Percent of D_f within the loss that best tells D_r from held-out data: `mia_confidence` on losses at hand."""
    largest = largest_member_score(retained[draw.members.numpy()], held_out[draw.others.numpy()])
    return 100 * float((forgotten <= largest).mean())


def against(model: Standing, golds: Sequence[Standing]) -> dict[str, float]:
    """A model's figures and their distance to the mean of the golds.

    gap = mean of |Δ| over UA = 100 − acc(D_f), RA = acc(D_r), TA = acc(test) and MIA          (Fan et al. 2024)
    ToW = 100 ∏ (1 − |Δacc| / 100) over D_f, D_r and test                                    (Zhao et al. 2024)
    """
    gold = Standing(*(mean(values) for values in zip(*golds, strict=True)))
    away = Standing(*(one - other for one, other in zip(model, gold, strict=True)))
    accuracies = (away.acc_df, away.acc_dr, away.acc_test)
    return {
        **model._asdict(),
        "delta_acc_df": away.acc_df,
        "delta_acc_dr": away.acc_dr,
        "delta_acc_test": away.acc_test,
        "delta_mia": away.mia,
        "delta_auc": away.auc,
        "gap": mean(abs(d) for d in (*accuracies, away.mia)),
        "tow": 100 * prod(1 - abs(d) / 100 for d in accuracies),
    }


def _losses(answers: Tensor, labels: Tensor) -> Scores:
    return evaluation.per_sample_loss(answers, labels).numpy()
