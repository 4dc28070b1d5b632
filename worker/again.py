"""A request carried out again under other seeds, for audits that compare many models with many."""

from dataclasses import replace

from app.core.params import MethodParams
from app.methods.retrain import RetrainParams
from worker import registry
from worker.ladder import Noting
from worker.loading import Case
from worker.numerics.outcome import Again, Model
from worker.numerics.problem import Problem
from worker.numerics.randomness import derived
from worker.numerics.run import Run


def again(case: Case, problem: Problem, method: MethodParams, run: Run) -> Again:
    """What the method makes of the same deployed weights and what the recipe makes without D_f, seed by seed.

    Args:
        case: the request's.
        problem: what the method was given.
        method: of the rung that is audited.
        run: the job's, whose rungs share the retrained models.
    """
    silenced = frozenset(case.base.silenced_classes)

    def unlearned(number: int, part: Run) -> Model:
        outcome = registry.unlearn(_other(problem, "unlearned", number, part), method)
        return Model(problem.build, outcome.weights, silenced | outcome.silenced)

    def retrained(number: int, part: Run) -> Model:
        return Model(
            problem.build, registry.unlearn(_other(problem, "retrained", number, part), RetrainParams()).weights
        )

    return Again(unlearned, retrained, method.random, Noting(run, "again", case.digest))


def _other(problem: Problem, kind: str, number: int, run: Run) -> Problem:
    return replace(problem, seed=derived(problem.seed, kind, number), run=run)
