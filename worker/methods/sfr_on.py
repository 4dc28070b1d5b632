"""Method `sfr_on`: ascend on D_f through salient weights, repair on D_r, in turns."""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from app.methods.sfr_on import SfrOnParams
from worker.numerics import training
from worker.numerics.descent import Plan, descend
from worker.numerics.errors import NothingToDo
from worker.numerics.examples import Batch
from worker.numerics.fisher import fisher_diagonal, ratio
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.selection import select, threshold
from worker.numerics.weights import Weights, network_with, weights_of

SMALLEST_LOSS = 1e-8
"""Below it a sample's coefficient grows no further."""


def sfr_on(problem: Problem, params: SfrOnParams) -> Outcome:
    """Saliency forgetting in the remain-preserving manifold, online.

        S = the fraction of all weights with the largest F_Df / F_Dr, taken once at θ_old
        in every round:
            fast ← θ
            fast_S ← ascend 1/B Σ ε ℓ(x_f),   ε = ℓ(x_f)^(−λ), not differentiated: what is forgotten counts less
            fast ← descend CE(D_r)            over all weights
            θ ← θ + α (fast − θ)

    For λ = 1 the ascent is on the mean of log ℓ. Its gradient is clipped. Repair in train mode: the running statistics
    of BatchNorm follow D_r; ascent in eval mode.

    Raises:
        EmptyExamples: D_f or D_r is empty, or D_f is all there is.
        NothingToDo: no weight is salient, none moved, or no output on D_f changed.
        NonFinite: it diverged.

    Source: Huang et al. 2024, §4 (SFR-on). Defaults: found by `benchmarks.search` for a class, rounded, and tried on
    more data (`benchmarks.field --search`): after ten rounds at λ 1 much of a class is still answered.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    recipe = required(problem.recipe, "the recipe")
    network = network_with(problem.build, problem.old)
    forget_fisher = fisher_diagonal(network, forget, run=problem.run, phase="fisher_forget")
    scores = ratio(forget_fisher, required(problem.fisher, "the stored Fisher").minus(forget_fisher))
    selection = select(scores, threshold(scores, params.fraction))
    if not selection.size:
        raise NothingToDo("no weight is salient: the network does not learn from D_f any more")
    repair = replace(
        Plan.of(recipe),
        learning_rate=params.repair_rate or recipe.learning_rate,
        schedule="constant",
        steps=params.repair_steps,
    )
    ascent = Plan(
        params.ascent_rate or recipe.learning_rate,
        batch_size=recipe.batch_size,
        momentum=0.0,
        clip=params.clip,
        lower={"clip": params.clip},
        steps=params.ascent_steps,
    )

    def forgetting(network: nn.Module, batch: Batch) -> Tensor:
        losses = cross_entropy(network(batch.inputs), batch.labels, reduction="none")
        return -(coefficients(losses, params.adaptivity) * losses).mean()

    for number in range(params.rounds):
        slow = weights_of(network)
        for name, feed, objective, plan, only in (
            ("ascent", forget, forgetting, ascent, selection.masks),
            ("repair", retain, training.cross_entropy, repair, None),
        ):
            descend(
                network,
                feed,
                objective,
                plan,
                seed=derived(problem.seed, name, number),
                run=problem.run,
                phase=f"{name}_{number + 1}",
                only=only,
                train_mode=name == "repair",
            )
        network.load_state_dict(between(slow, weights_of(network), params.slow_rate))
    return Outcome(
        felt(problem, changed(problem.old, weights_of(network)), forget),
        {
            "selected_fraction": selection.fraction,
            "selected": selection.size,
            "gamma": selection.threshold,
            "rounds": params.rounds,
            "ascent_steps": params.rounds * params.ascent_steps,
            "repair_steps": params.rounds * params.repair_steps,
            "moved_statistics": sum(1 for _ in network.buffers()),
        },
    )


def coefficients(losses: Tensor, adaptivity: float) -> Tensor:
    """How much each sample counts in the ascent: ε = ℓ^(−λ), constants to the gradient.

    Args:
        losses: ℓ ≥ 0, `(B,)`.
        adaptivity: λ ≥ 0.

    Returns:
        ε, `(B,)`.
    """
    return losses.detach().clamp(min=SMALLEST_LOSS).pow(-adaptivity)


def between(slow: Weights, fast: Weights, rate: float) -> dict[str, Tensor]:
    """Slow + rate·(fast − slow); counters, which are whole numbers, are those of the fast weights."""
    return {
        name: torch.lerp(slow[name], tensor, rate) if tensor.is_floating_point() else tensor
        for name, tensor in fast.items()
    }
