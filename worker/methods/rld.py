"""Method `rld`: teach random labels on D_f, hold the rest by elastic weight consolidation."""

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from app.methods.rld import RldParams
from worker.numerics.descent import Plan
from worker.numerics.examples import Batch
from worker.numerics.labels import random_labels
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem
from worker.numerics.selective import forget_selectively


def rld(problem: Problem, params: RldParams) -> Outcome:
    """Random label distillation: what to answer on D_f is drawn anew at every step.

        L_f = 1/B Σ CE(f_θ(x_f), u),   u uniform on the labels, without the true one in pattern A

    The whole objective is that of `forget_selectively`. Seeded: the same problem gives the same weights.

    Source: Hayase et al. 2020, §3.2 (RLD+EWC).
    """
    included = params.include_true_label
    include = problem.pattern != "A" if included is None else included

    def forgetting(network: nn.Module, batch: Batch) -> Tensor:
        wrong = random_labels(batch.labels, problem.classes, include_true=include)
        return cross_entropy(network(batch.inputs), wrong)

    plan = Plan(params.learning_rate, epochs=params.epochs, batch_size=params.batch_size, momentum=params.momentum)
    return forget_selectively(
        problem,
        forgetting,
        plan,
        forget_strength=params.forget_strength,
        penalty_strength=params.penalty_strength,
        penalty=params.penalty,
    )
