"""Selective forgetting: a loss that forgets, under elastic weight consolidation. What `rld` and `rnd` share."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worker.numerics.descent import Anchor, Feed, Penalty, Plan, descend
from worker.numerics.examples import Batch, Examples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.run import Fact
from worker.numerics.weights import network_with, weights_of

Forgetting = Callable[[nn.Module, Batch], Tensor]
"""L_f: the network and a batch of D_f, to a scalar, a mean over the batch."""


def forget_selectively(
    problem: Problem,
    forgetting: Forgetting,
    plan: Plan,
    *,
    forget_strength: float,
    penalty_strength: float,
    penalty: Penalty,
) -> Outcome:
    """Minimise an objective that forgets D_f while the stored Fisher holds the rest, starting at θ_old.

        pattern A      λ_f·L_f(D_f) + λ_KL·R                     R = (θ−θ_old)ᵀ F_Dr (θ−θ_old)
        patterns B, C  CE(D_f,clean) + λ_f·L_f(D_f) + λ_KL·R     R = (θ−θ_old)ᵀ F (θ−θ_old)

    D_r itself is not needed: F stands for it. F is the stored diagonal; in pattern A, that of D_f is taken out of it by
    subtraction, which forgets a little better at the same D_r. In B and C the trained network fits D_f with almost no
    loss, so that there is nothing to take out. D_f and D_f,clean go in lock-step. With λ_KL = 0 there is no F: what the
    terms without R do, as the paper's comparisons have it.

    Args:
        problem: with D_f, the stored Fisher unless λ_KL is 0, and D_f,clean in patterns B and C.
        forgetting: L_f.
        plan: how to descend.
        forget_strength: λ_f.
        penalty_strength: λ_KL.
        penalty: how the steps take R.

    Raises:
        EmptyExamples: a set or the Fisher is missing, or D_f is all there is.
        NothingToDo: no weight changed.
        NonFinite: it diverged.

    Source: Hayase, Yasutomi & Katoh, Selective Forgetting of Deep Networks at a Finer Level than Samples, 2020, §3.
    """
    forget = required(problem.forget, "D_f")
    feed: Feed = forget if problem.pattern == "A" else (forget, required(problem.forget_clean, "D_f,clean"))
    network = network_with(problem.build, problem.old)
    anchor, facts = None, dict[str, Fact]()
    if penalty_strength:
        anchor, facts = _hold(problem, network, forget, penalty_strength, penalty)

    def objective(network: nn.Module, batch: Batch, clean: Batch | None = None) -> Tensor:
        loss = forget_strength * forgetting(network, batch)
        return loss if clean is None else loss + cross_entropy(network(clean.inputs), clean.labels)

    plan = replace(plan, lower={"forget_strength": forget_strength} if forget_strength else {})
    descend(network, feed, objective, plan, seed=problem.seed, run=problem.run, phase="forget", anchor=anchor)
    return Outcome(
        changed(problem.old, weights_of(network)), {"epochs": plan.epochs, "forget_samples": len(forget), **facts}
    )


def _hold(
    problem: Problem, network: nn.Module, forget: Examples, strength: float, penalty: Penalty
) -> tuple[Anchor, dict[str, Fact]]:
    """λ_KL·R, and what the report should say about its F."""
    fisher = required(problem.fisher, "the stored Fisher")
    if problem.pattern == "A":
        fisher = fisher.minus(fisher_diagonal(network, forget, run=problem.run, phase="fisher_forget"))
    return Anchor(problem.old, fisher.diagonal(), strength, penalty), {
        "fisher_samples": fisher.count,
        "fisher_below_noise_floor": fisher.below_noise_floor,
    }
