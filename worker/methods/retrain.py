"""Method `retrain`: train again without what is to be forgotten."""

from app.methods.retrain import RetrainParams
from worker.numerics.finetuning import kept
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.training import train


def retrain(problem: Problem, params: RetrainParams) -> Outcome:  # noqa: ARG001 - the recipe has them all
    """The registered recipe from a fresh initialisation.

        pattern A      on D_r
        patterns B, C  on D_r and D_f,clean

    The network is built anew from a seed of its own, never by resetting the deployed one's layers: it shares no tensor
    with it, and its initialisation is independent of it.

    Source: Cao & Yang 2015; for B and C Hayase et al. 2020, §2.
    """
    examples, recipe = kept(problem), required(problem.recipe, "the recipe")
    seed = derived(problem.seed, "retrain")
    weights = train(problem.build, recipe, examples, seed=seed, run=problem.run, phase="retrain")
    return Outcome(changed(problem.old, weights), {"samples": len(examples), "epochs": recipe.epochs})
