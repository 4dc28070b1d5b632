"""Method `truncation`: leave the forgotten class out of the answer."""

from app.methods.truncation import TruncationParams
from worker.numerics.errors import Misfit
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required


def truncation(problem: Problem, params: TruncationParams) -> Outcome:  # noqa: ARG001 - it has none
    """Answer with the best of the other classes; no weight changes, and the weights still know the class.

        ŷ = argmax_{c ≠ c_f} f_θ(x)_c

    An instant mitigation, never reported as unlearning.

    Source: Hayase et al. 2020, §4.1 ("truncation").

    Raises:
        Misfit: the network has no such class.
    """
    silenced = required(problem.forgotten_class, "a forgotten class")
    if not 0 <= silenced < problem.classes:
        raise Misfit(f"the network has classes 0 to {problem.classes - 1}, not {silenced}")
    return Outcome(problem.old, {"silenced_class": silenced}, frozenset({silenced}))
