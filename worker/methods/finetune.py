"""Method `finetune`: go on training on what is kept."""

from app.methods.finetune import FinetuneParams
from worker.numerics.descent import descend
from worker.numerics.finetuning import fine_tuning, kept
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of


def finetune(problem: Problem, params: FinetuneParams) -> Outcome:
    """Plain fine-tuning: whatever D_f left in the weights fades, because nothing renews it.

        θ ← descend CE(D_r) from θ_old                 pattern A
        θ ← descend CE(D_r ∪ D_f,clean) from θ_old     patterns B, C

    The rate starts high enough to leave the minimum that D_f helped to choose, and falls to 0: 1.5 times the recipe's
    peak and three epochs came closest to retraining of all that was measured for random samples (ALGORITHMS.md §1). In
    train mode: the running statistics of BatchNorm follow D_r.

    Raises:
        EmptyExamples: D_r is empty.
        NothingToDo: no weight changed.
        NonFinite: it diverged.

    Source: Golatkar et al. 2020, the baseline "fine-tune"; rate and epochs are measured.
    """
    examples, recipe = kept(problem), required(problem.recipe, "the recipe")
    network = network_with(problem.build, problem.old)
    plan = fine_tuning(recipe, rate_factor=params.rate_factor, epochs=params.epochs)
    descend(
        network,
        examples,
        cross_entropy,
        plan,
        seed=problem.seed,
        run=problem.run,
        phase="fine_tune",
        train_mode=True,
    )
    new = changed(problem.old, weights_of(network))
    return Outcome(new, {"samples": len(examples), "epochs": plan.epochs, "learning_rate": plan.learning_rate})
