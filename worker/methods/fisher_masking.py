"""Method `fisher_masking`: weights that matter to D_f are zero for good, and the others learn D_r without them."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from app.methods.fisher_masking import FisherMaskingParams
from worker.numerics.descent import Plan, descend
from worker.numerics.errors import NothingToDo
from worker.numerics.fisher import fisher_diagonal, ratio
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.selection import select, threshold
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of


def fisher_masking(problem: Problem, params: FisherMaskingParams) -> Outcome:
    """Select by the Fisher diagonal, set to zero, fine-tune what was not selected.

        S = the fraction of all weights with the largest F_Df / F_Dr (or F_Df)
        θ_S ← 0, and stays 0
        θ_rest ← descend CE(D_r) over θ_rest alone, at the recipe's peak rate, cosine to 0

    The running statistics of BatchNorm are no weights: they follow D_r, and the report says so.

    Raises:
        NothingToDo: no weight is relevant to D_f, or no output on D_f changed.
        NonFinite: the fine-tuning diverged.

    Source: Liu et al. 2023. Defaults: found by `benchmarks.search` for a class, rounded, and tried on more data
    (`benchmarks.field --search`): at .05 and after one epoch a part of a class is still answered.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    recipe = required(problem.recipe, "the recipe")
    network = network_with(problem.build, problem.old)
    scores = relevance(problem, network, params.relevance)
    selection = select(scores, threshold(scores, params.fraction))
    if not selection.size:
        raise NothingToDo("no weight is relevant to D_f: the network does not learn from it any more")
    zeroed = {
        name: theta.masked_fill(selection.masks[name], 0.0) if name in selection.masks else theta
        for name, theta in problem.old.items()
    }
    network.load_state_dict(zeroed)
    plan = replace(
        Plan.of(recipe),
        learning_rate=params.learning_rate or recipe.learning_rate,
        epochs=params.epochs,
        schedule="cosine",
    )
    statistics = {name: torch.ones_like(b, dtype=torch.bool) for name, b in network.named_buffers()}
    descend(
        network,
        retain,
        cross_entropy,
        plan,
        seed=problem.seed,
        run=problem.run,
        phase="fine_tune",
        only={**{name: ~mask for name, mask in selection.masks.items()}, **statistics},
        train_mode=True,
    )
    return Outcome(
        felt(problem, changed(problem.old, weights_of(network)), forget),
        {
            "selected_fraction": selection.fraction,
            "selected": selection.size,
            "threshold": selection.threshold,
            "epochs": params.epochs,
            "learning_rate": plan.learning_rate,
            "moved_statistics": len(statistics),
        },
    )


def relevance(problem: Problem, network: nn.Module, by: str) -> Mapping[str, Tensor]:
    """How much each weight matters to D_f: alone, or beside D_r; float64, by parameter name."""
    forget = fisher_diagonal(network, required(problem.forget, "D_f"), run=problem.run, phase="fisher_forget")
    if by == "forget":
        return forget.diagonal()
    return ratio(forget, required(problem.fisher, "the stored Fisher").minus(forget))
