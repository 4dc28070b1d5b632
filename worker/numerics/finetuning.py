"""Fine-tuning: on from the deployed weights, on what is kept, by the recipe at a rate of its own."""

from dataclasses import replace

from worker.numerics.concatenation import concatenated
from worker.numerics.descent import Plan
from worker.numerics.errors import EmptyExamples, ForgetsTooMuch
from worker.numerics.examples import Examples
from worker.numerics.problem import Problem, required
from worker.numerics.recipe import Recipe


def kept(problem: Problem) -> Examples:
    """What remains in the training data: D_r, and D_f,clean too where only a feature of the samples is forgotten.

    Raises:
        EmptyExamples: D_r is missing or empty, or D_f,clean missing.
    """
    retain = required(problem.retain, "D_r")
    if not len(retain):
        raise EmptyExamples("D_r is empty, so there is nothing to hold on to: forget less, or retrain on other data")
    if problem.pattern == "A":
        return retain
    return concatenated(retain, required(problem.forget_clean, "D_f,clean"))


def outnumbered(problem: Problem) -> Examples:
    """D_f, if what is kept has at least as many samples to weigh against it.

    Raises:
        EmptyExamples: D_f is missing or empty.
        ForgetsTooMuch: it has fewer.
    """
    forget, rest = required(problem.forget, "D_f"), kept(problem)
    if not len(forget):
        raise EmptyExamples("D_f is empty, so there is nothing to forget: name other samples")
    if len(forget) > len(rest):
        raise ForgetsTooMuch(
            f"D_f has {len(forget):,} samples and just {len(rest):,} are kept: retrain instead, or forget less"
        )
    return forget


def fine_tuning(recipe: Recipe, *, rate_factor: float, epochs: int) -> Plan:
    """The recipe's batches, momentum, decay and clipping; its peak rate times a factor, by a cosine to 0."""
    rate = rate_factor * recipe.learning_rate
    return replace(Plan.of(recipe), learning_rate=rate, epochs=epochs, schedule="cosine")
