"""Training by a recipe: how registered models come to be, and gold models again."""

from torch import Tensor, nn
from torch.nn import functional

from worker.numerics.descent import Plan, descend
from worker.numerics.examples import Batch, Examples
from worker.numerics.recipe import Recipe
from worker.numerics.run import Run
from worker.numerics.sharding import Part, parts
from worker.numerics.weights import Build, Weights, weights_of


def train(
    build: Build, recipe: Recipe, examples: Examples, *, seed: int, run: Run | None = None, phase: str = "train"
) -> Weights:
    """Train a fresh network; another seed gives another initialisation and another order.

    A network of shards is trained shard by shard: no member sees the samples of another's.

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
    for part in parts(network, examples, seed=seed, phase=phase):
        learn(part, recipe, run=run)
    return weights_of(network)


def learn(part: Part, recipe: Recipe, *, run: Run | None = None) -> None:
    """Train one network by the recipe, in place; errors as of `train`."""
    network, examples, seed, phase = part
    descend(network, examples, cross_entropy, Plan.of(recipe), seed=seed, run=run, phase=phase, train_mode=True)


def cross_entropy(network: nn.Module, batch: Batch) -> Tensor:
    """Mean over the batch of −log p_y: the objective of plain training."""
    return functional.cross_entropy(network(batch.inputs), batch.labels)
