"""What every model of a bench answers on every set, asked once however many metrics want to know."""

from typing import NamedTuple

from torch import Tensor

from worker.numerics import evaluation, uncertainty
from worker.numerics.examples import Examples
from worker.numerics.outcome import Bench, Model
from worker.numerics.run import Run

LARGEST_LOSS = 400.0  # nats; Kurmanji et al. clip there, and a silenced class has an infinite loss


class Answers(NamedTuple):
    """One row a sample, in the order of the set."""

    right: Tensor  # (N,) bool, argmax f_θ(x) = y
    loss: Tensor  # (N,) float64, −log p_y in nats, at most `LARGEST_LOSS`
    entropy: Tensor  # (N,) float64, of p in nats
    modified_entropy: Tensor  # (N,) float64, of p and y in nats, at most `LARGEST_LOSS`


def answers(bench: Bench, model: Model, name: str) -> Answers:
    """The model's answers on the set of this name, kept with the bench (25 bytes a sample).

    Raises:
        EmptyExamples: the set is empty.
    """
    key = id(model), name
    if key not in bench.asked:
        bench.asked[key] = model, answered(model, bench.sets[name], bench.run)  # keeps the model: ids are reused
    found: Answers = bench.asked[key][1]
    return found


def answered(model: Model, examples: Examples, run: Run) -> Answers:
    """The model's answers, not kept: for models of which there are many.

    Raises:
        EmptyExamples: there are no examples.
    """
    logits, labels = evaluation.logits(model, examples, run=run), examples.labels
    return Answers(
        right=logits.argmax(1) == labels,
        loss=evaluation.per_sample_loss(logits, labels).clamp(max=LARGEST_LOSS),
        entropy=uncertainty.entropy(logits),
        modified_entropy=uncertainty.modified_entropy(logits, labels).clamp(max=LARGEST_LOSS),
    )
