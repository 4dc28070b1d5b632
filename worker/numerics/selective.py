"""Selective forgetting: a loss that forgets, under elastic weight consolidation. What `rld` and `rnd` share."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worker.numerics.descent import Anchor, Feed, Plan, descend
from worker.numerics.examples import Batch
from worker.numerics.fisher import Fisher, fisher_diagonal
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.weights import network_with, weights_of

Forgetting = Callable[[nn.Module, Batch], Tensor]
"""L_f: the network and a batch of D_f, to a scalar, a mean over the batch."""


def forget_selectively(
    problem: Problem, forgetting: Forgetting, plan: Plan, *, forget_strength: float, anchor: Callable[[Fisher], Anchor]
) -> Outcome:
    """Minimise an objective that forgets D_f while the stored Fisher holds the rest, starting at θ_old.

        pattern A      λ_f·L_f(D_f) + λ_KL·R                     R = (θ−θ_old)ᵀ F_Dr (θ−θ_old)
        patterns B, C  CE(D_f,clean) + λ_f·L_f(D_f) + λ_KL·R     R = (θ−θ_old)ᵀ F (θ−θ_old)

    D_r itself is not needed: F stands for it. F is the stored diagonal; in pattern A, that of D_f is taken out of it by
    subtraction, which forgets a little better at the same D_r. In B and C the trained network fits D_f with almost no
    loss, so that there is nothing to take out. D_f and D_f,clean go in lock-step.

    Args:
        problem: with D_f, the stored Fisher, and D_f,clean in patterns B and C.
        forgetting: L_f.
        plan: how to descend.
        forget_strength: λ_f.
        anchor: the EWC term for a Fisher; its λ is λ_KL.

    Raises:
        EmptyExamples: a set or the Fisher is missing, or D_f is all there is.
        NothingToDo: no weight changed.
        NonFinite: it diverged.

    Source: Hayase, Yasutomi & Katoh, Selective Forgetting of Deep Networks at a Finer Level than Samples, 2020, §3.
    """
    forget, fisher = required(problem.forget, "D_f"), required(problem.fisher, "the stored Fisher")
    network = network_with(problem.build, problem.old)
    feed: Feed
    if problem.pattern == "A":
        fisher = fisher.minus(fisher_diagonal(network, forget, run=problem.run, phase="fisher_forget"))
        feed = forget
    else:
        feed = (forget, required(problem.forget_clean, "D_f,clean"))

    def objective(network: nn.Module, batch: Batch, clean: Batch | None = None) -> Tensor:
        loss = forget_strength * forgetting(network, batch)
        return loss if clean is None else loss + cross_entropy(network(clean.inputs), clean.labels)

    descend(network, feed, objective, plan, seed=problem.seed, run=problem.run, phase="forget", anchor=anchor(fisher))
    return Outcome(
        changed(problem.old, weights_of(network)),
        {
            "epochs": plan.epochs,
            "forget_samples": len(forget),
            "fisher_samples": fisher.count,
            "fisher_below_noise_floor": fisher.below_noise_floor,
        },
    )
