"""Method `rnd`: answer on D_f like an untrained network, hold the rest by elastic weight consolidation."""

import torch
from torch import Tensor, nn

from app.methods.rnd import RndParams
from worker.numerics.descent import Plan
from worker.numerics.device import at_work
from worker.numerics.examples import Batch
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem
from worker.numerics.randomness import derived
from worker.numerics.selective import forget_selectively


def rnd(problem: Problem, params: RndParams) -> Outcome:
    """Random network distillation: one random network, drawn once, is the teacher on D_f.

        L_f = 1/B Σ ‖f_θ(x_f) − f_η(x_f)‖²,   η a fresh initialisation of the same architecture

    The whole objective is that of `forget_selectively`. Seeded: the same problem gives the same weights.

    Source: Hayase et al. 2020, §3.2 (RND+EWC); Burda et al., Exploration by Random Network Distillation, 2019.
    """
    teacher = problem.build(derived(problem.seed, "rnd")).eval()

    def forgetting(network: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad():
            taught = teacher(batch.inputs)
        return distance(network(batch.inputs), taught)

    plan = Plan(params.learning_rate, epochs=params.epochs, batch_size=params.batch_size, momentum=params.momentum)
    with at_work(teacher):
        return forget_selectively(
            problem,
            forgetting,
            plan,
            forget_strength=params.forget_strength,
            penalty_strength=params.penalty_strength,
            penalty=params.penalty,
        )


def distance(logits: Tensor, taught: Tensor) -> Tensor:
    """Mean over the batch of the squared Euclidean distance between two sets of logits, both `(B, C)`."""
    return (logits - taught).square().sum(1).mean()
