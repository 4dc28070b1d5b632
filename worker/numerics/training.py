"""Training by a recipe: how registered models come to be, and gold models again."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from worker.numerics.augmentation import augmented
from worker.numerics.descent import Objective, Plan, descend
from worker.numerics.errors import Misfit
from worker.numerics.examples import Batch, Examples, Normalisation
from worker.numerics.recipe import Recipe
from worker.numerics.run import Run
from worker.numerics.sharding import Part, parts
from worker.numerics.weights import Build, Weights, weights_of

Watch = Callable[[Objective], Objective]
"""An objective to one that does the same and takes note of something on the way."""


def train(
    build: Build,
    recipe: Recipe,
    examples: Examples,
    *,
    seed: int,
    run: Run | None = None,
    phase: str = "train",
    watch: Watch | None = None,
) -> Weights:
    """Train a fresh network; another seed gives another initialisation and another order.

    A network of shards is trained shard by shard: no member sees the samples of another's.

    Args:
        build: seed to a network of its own storage, so that a gold model shares no tensor with the deployed one.
        recipe: how.
        examples: D, or D_r for gold.
        seed: of initialisation, order, dropout and augmentation.
        run: hears of progress in steps.
        phase: unique within a job: gold models of several seeds need several names.
        watch: what takes note of the steps.

    Raises:
        EmptyExamples: there are none.
        Misfit: the recipe augments images, and these are none.
        NonFinite: the training diverged.
    """
    network = build(seed)
    for part in parts(network, examples, seed=seed, phase=phase):
        learn(part, recipe, run=run, watch=watch)
    return weights_of(network)


def learn(part: Part, recipe: Recipe, *, run: Run | None = None, watch: Watch | None = None) -> None:
    """Train one network by the recipe, in place; errors as of `train`."""
    network, examples, seed, phase = part
    objective = with_augmentation(recipe, examples.normalisation)
    watched = objective if watch is None else watch(objective)
    descend(network, examples, watched, Plan.of(recipe), seed=seed, run=run, phase=phase, train_mode=True)


def with_augmentation(recipe: Recipe, normalisation: Normalisation) -> Objective:
    """The recipe's objective on augmented images.

    Args:
        recipe: whose augmentation may be empty.
        normalisation: of the batches: it says what black is.
    """
    objective = objective_of(recipe)
    if not recipe.augmentation:
        return objective

    def on_augmented(network: nn.Module, batch: Batch) -> Tensor:
        if batch.inputs.dim() != 4:
            raise Misfit("the recipe augments images, and these inputs are none: leave the augmentation out")
        black = normalisation(torch.zeros(1, batch.inputs.shape[1], 1, 1)).to(batch.inputs.device)
        return objective(network, batch._replace(inputs=augmented(batch.inputs, recipe.augmentation, black)))

    return on_augmented


def objective_of(recipe: Recipe) -> Objective:
    """What the recipe minimises, but for weight decay and augmentation."""
    if recipe.loss == "cross_entropy":
        return cross_entropy
    strength = recipe.sd_strength
    if strength is None:
        raise Misfit("the SD loss has a strength γ: give the recipe its sd_strength")

    def sd(network: nn.Module, batch: Batch) -> Tensor:
        return sd_loss(network(batch.inputs), batch.labels, strength)

    return sd


def cross_entropy(network: nn.Module, batch: Batch) -> Tensor:
    """Mean over the batch of −log p_y: the objective of plain training."""
    return functional.cross_entropy(network(batch.inputs), batch.labels)


def sd_loss(logits: Tensor, labels: Tensor, strength: float) -> Tensor:
    """Cross entropy that also keeps the logits of a sample together: what it makes easier is to unlearn.

        L = 1/B Σₙ (−log p_yₙ + γ·√(1/C Σ_c (z_nc − z̄_n)²))

    Where all logits of a sample are equal, the second term has no slope and counts with gradient 0.

    Args:
        logits: z, `(B, C)`.
        labels: y, `(B,)`.
        strength: γ ≥ 0.

    Source: Thudi et al., Unrolling SGD, 2022, §6. Their code divides the deviation by C once more.
    """
    deviation = logits.std(dim=1, correction=0)
    return functional.cross_entropy(logits, labels) + strength * deviation.mean()
