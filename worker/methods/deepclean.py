"""Method `deepclean`: reset the weights that matter to D_f and hardly to D_r, and let only those learn D_r again."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from app.methods.deepclean import DeepCleanParams
from worker.numerics.descent import Plan, descend
from worker.numerics.errors import NothingToDo
from worker.numerics.fisher import fisher_diagonal, ratio
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.selection import select, threshold
from worker.numerics.training import cross_entropy
from worker.numerics.weights import Weights, network_with, weights_of

FRACTION = 0.2
EPOCHS_CLASS, EPOCHS_SAMPLES = 1, 3
"""Measured (ALGORITHMS.md §1): a class is gone after one epoch; samples need more, and get less far."""


def deepclean(problem: Problem, params: DeepCleanParams) -> Outcome:
    """Select by the Fisher ratio, reset, fine-tune only what was selected.

        r = F_Df / F_Dr,   F_Dr = (S_D − S_f) / (N − N_f)
        S = {i : r_i > γ},   over all weights together, biases and last layer included
        θ_S ← θ_init,S (or 0, or as they were)
        θ_S ← descend CE(D_r) over θ_S alone, at the recipe's peak rate, cosine to 0

    Every weight outside S is bit-identical afterwards. The running statistics of BatchNorm are not weights: they follow
    D_r during fine-tuning (in eval mode it diverges), and the report says so.

    Raises:
        NothingToDo: S is empty, or no output on D_f changed.

    Source: Shi et al., DeepClean, 2023; fraction, epochs and rate, which the paper leaves open, are measured.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    recipe = required(problem.recipe, "the recipe")
    network = network_with(problem.build, problem.old)
    forget_fisher = fisher_diagonal(network, forget, run=problem.run, phase="fisher_forget")
    retain_fisher = required(problem.fisher, "the stored Fisher").minus(forget_fisher)
    ratios = ratio(forget_fisher, retain_fisher)
    gamma = params.gamma if params.gamma is not None else threshold(ratios, params.fraction or FRACTION)
    selection = select(ratios, gamma)
    if not any(r.any() for r in ratios.values()):
        raise NothingToDo("every Fisher ratio is 0: the model fits D_f without any error, which leaves no gradient")
    if not selection.size:
        raise NothingToDo(f"no Fisher ratio exceeds γ = {gamma:.4g}: select by a larger fraction, or a smaller γ")
    network.load_state_dict(reset(problem, selection.masks, params.reset))
    epochs = params.epochs or (EPOCHS_SAMPLES if problem.scattered else EPOCHS_CLASS)
    rate = params.learning_rate or recipe.learning_rate
    plan = replace(Plan.of(recipe), learning_rate=rate, epochs=epochs, schedule="cosine")
    statistics = {name: torch.ones_like(b, dtype=torch.bool) for name, b in network.named_buffers()}
    descend(
        network,
        retain,
        cross_entropy,
        plan,
        seed=problem.seed,
        run=problem.run,
        phase="fine_tune",
        only={**selection.masks, **statistics},
        train_mode=True,
    )
    new = felt(problem, changed(problem.old, weights_of(network)), forget)
    return Outcome(
        new,
        {
            "selected_fraction": selection.fraction,
            "selected": selection.size,
            "gamma": gamma,
            "fisher_below_noise_floor": retain_fisher.below_noise_floor,
            "epochs": epochs,
            "learning_rate": plan.learning_rate,
            "moved_statistics": len(statistics),
        },
    )


def reset(problem: Problem, masks: Mapping[str, Tensor], to: str) -> dict[str, Tensor]:
    """The old weights, the selected entries set to what they were before training, to zero, or left alone."""
    fresh: Weights = problem.old
    if to == "initial":
        fresh = required(problem.initial, "the initial weights")
    elif to == "zero":
        fresh = {name: torch.zeros_like(tensor) for name, tensor in problem.old.items()}
    return {
        name: torch.where(masks[name], fresh[name], tensor) if name in masks else tensor
        for name, tensor in problem.old.items()
    }
