"""Method `negmerge`: subtract what several fine-tunings on D_f agree about."""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from app.methods.negmerge import NegmergeParams
from worker.numerics.descent import descend
from worker.numerics.finetuning import fine_tuning
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with


def negmerge(problem: Problem, params: NegmergeParams) -> Outcome:
    """Negation of the task vectors of D_f, merged by consensus.

        τ_k = θ_k − θ_old,   θ_k: fine-tuned on D_f from θ_old, k-th of all pairs of a rate and a number of epochs
        τ   = mean_k τ_k where all τ_k have the same sign, 0 elsewhere   (`consensual`)
        θ′  = θ_old − λ τ

    Nothing holds the rest of the data; what only some of the fine-tunings change is taken for noise. In eval mode:
    buffers (running statistics) stay as they are. The task vectors are all in memory at once.

    Raises:
        EmptyExamples: D_f is empty.
        NothingToDo: they agree about nothing, or no output on D_f changed.
        NonFinite: a fine-tuning diverged.

    Source: Kim et al. 2025, §3. The paper varies augmentation and decay as well, and chooses λ on validation data; ours
    was tried on the small network of `benchmarks.field`.
    """
    forget, recipe = required(problem.forget, "D_f"), required(problem.recipe, "the recipe")
    moves: dict[str, list[Tensor]] = {}
    for number, (factor, epochs) in enumerate(product(params.rate_factors, params.epochs), 1):
        network = network_with(problem.build, problem.old)
        descend(
            network,
            forget,
            cross_entropy,
            fine_tuning(recipe, rate_factor=factor, epochs=epochs),
            seed=derived(problem.seed, "negmerge", number),
            run=problem.run,
            phase=f"fine_tune_{number}",
        )
        for name, theta in network.named_parameters():
            moves.setdefault(name, []).append(theta.detach() - problem.old[name])
    merged = {name: consensual(tensors) for name, tensors in moves.items()}
    new = {
        name: theta - params.strength * merged[name] if name in merged else theta.clone()
        for name, theta in problem.old.items()
    }
    agreed = sum(int((move != 0).sum()) for move in merged.values())
    return Outcome(
        felt(problem, changed(problem.old, new), forget),
        {
            "task_vectors": len(params.rate_factors) * len(params.epochs),
            "agreed_fraction": agreed / sum(move.numel() for move in merged.values()),
            "move_norm": params.strength * float(torch.stack([move.norm() for move in merged.values()]).norm()),
        },
    )


def consensual(moves: Sequence[Tensor]) -> Tensor:
    """Their mean where all have one sign, else 0.

    Args:
        moves: τ_k, at least one, all of one shape.
    """
    stacked = torch.stack(list(moves))
    agree = (stacked > 0).all(0) | (stacked < 0).all(0)
    return torch.where(agree, stacked.mean(0), 0)
