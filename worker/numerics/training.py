"""Training by a recipe: how registered models come to be, and gold models again."""

from torch import Tensor, nn
from torch.nn import functional

from worker.numerics.descent import Plan, descend
from worker.numerics.examples import Batch, Examples
from worker.numerics.recipe import Recipe
from worker.numerics.run import Run
from worker.numerics.weights import Build, Weights, weights_of


def train(
    build: Build, recipe: Recipe, examples: Examples, *, seed: int, run: Run | None = None, phase: str = "train"
) -> Weights:
    """Train a fresh network; another seed gives another initialisation and another order.

    Args:
        build: seed to a network of its own storage, so that a gold model shares no tensor with the deployed one.
        recipe: how.
        examples: D, or D_r for gold.
        seed: of initialisation, order and dropout.
        run: hears of progress in steps.
        phase: unique within a job: gold models of several seeds need several names.

    Raises:
        EmptyExamples: there are none.
        NonFinite: the training diverged.
    """
    network = build(seed)
    descend(network, examples, cross_entropy, Plan.of(recipe), seed=seed, run=run, phase=phase, train_mode=True)
    return weights_of(network)


def cross_entropy(network: nn.Module, batch: Batch) -> Tensor:
    """Mean over the batch of −log p_y: the objective of plain training."""
    return functional.cross_entropy(network(batch.inputs), batch.labels)
