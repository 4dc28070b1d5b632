"""Method `potion`: dampen more and more of the weights that matter to a trigger, until it fails."""

from collections.abc import Iterator

from app.methods.potion import PotionParams
from worker.numerics.dampening import dampened, share
from worker.numerics.errors import NothingToDo
from worker.numerics.evaluation import accuracy, logits
from worker.numerics.fisher import fisher_diagonal, ratio
from worker.numerics.guards import changed
from worker.numerics.outcome import Model, Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.selection import select, threshold
from worker.numerics.weights import network_with


def potion(problem: Problem, params: PotionParams) -> Outcome:
    """Poison trigger neutralisation: selective synaptic dampening, from θ_old anew at every attempt.

        for p = fraction, fraction·growth, … up to largest_fraction:
            S = the share p of all weights with the largest I_f / I_D
            θ_S = min(λ I_D / I_f, 1) θ_old,S
            stop when the accuracy on D_f is below ρ

    D_f need not be all of the poisoned samples, and D_r, in which more of them may hide, is not read: the search rests
    on D_f alone. I_D is the stored diagonal. No seed matters.

    Raises:
        ForgetsTooMuch: D_f is more than half of D.
        NothingToDo: the trigger does not work to begin with, or still works at the largest fraction.

    Source: Schoepf et al. 2024, §4; importance as in Foster et al. 2024. Defaults tried on validation data (small CNN,
    Fashion-MNIST, 2 % poisoned with a 3×3 patch): the trigger falls from .96 to .17 of other samples, accuracy under it
    rises from .04 to .70, clean accuracy stays .88.
    """
    forget, stored = required(problem.forget, "D_f"), required(problem.fisher, "the stored Fisher")
    f = share(len(forget), stored)
    network = network_with(problem.build, problem.old)
    forget_fisher = fisher_diagonal(network, forget, run=problem.run, phase="fisher_forget")
    scores, over_d, over_d_f = ratio(forget_fisher, stored), stored.diagonal(), forget_fisher.diagonal()
    before = success = accuracy(logits(Model(problem.build, problem.old), forget, run=problem.run), forget.labels)
    if before < params.success:
        raise NothingToDo(f"accuracy on D_f is {before:.3f}, already below ρ = {params.success}: lower ρ")
    for attempt, fraction in enumerate(fractions(params), 1):
        selection = select(scores, threshold(scores, fraction))
        new = dampened(problem.old, over_d, over_d_f, selection, strength=params.dampening)
        success = accuracy(logits(Model(problem.build, new), forget, run=problem.run), forget.labels)
        if success < params.success:
            return Outcome(
                changed(problem.old, new),
                {
                    "selected_fraction": selection.fraction,
                    "selected": selection.size,
                    "alpha": selection.threshold,
                    "attempts": attempt,
                    "forget_accuracy_before": before,
                    "forget_accuracy": success,
                    "forget_share": f,
                },
            )
    raise NothingToDo(
        f"accuracy on D_f is still {success:.3f} with {params.largest_fraction:.0%} of the weights dampened, not below"
        f" ρ = {params.success}: lower λ, or raise ρ or largest_fraction"
    )


def fractions(params: PotionParams) -> Iterator[float]:
    """The shares to try: growing by a factor, the last one exactly the largest."""
    fraction = params.fraction
    while fraction < params.largest_fraction:
        yield fraction
        fraction *= params.growth
    yield params.largest_fraction
