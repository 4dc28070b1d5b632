"""Registration of the ten-layer perceptron on Fashion-MNIST: its Fisher over all training data, and F_Dr from it.

What the job does from the manifest on, without the database: decode the images, one pass over them. The network has
been trained for an epoch, so that the sums are those of a model that fits its data.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from app.architectures.mlp import MlpParams
from benchmarks.fisher_alone import MIB, Result, errors_of, highest, standing
from worker import registry
from worker.datasets import Manifest, examples_at
from worker.numerics.examples import Examples, Normalisation
from worker.numerics.fisher import Fisher, fisher_diagonal
from worker.numerics.recipe import Recipe
from worker.numerics.training import train
from worker.numerics.weights import network_with

PARAMS = MlpParams(input_shape=(1, 28, 28), classes=10)
RECIPE = Recipe(learning_rate=0.01, epochs=1)
REQUEST = 100  # samples to forget
BATCH = 256
BUDGET_BYTES = 2**30
CPU = torch.device("cpu")


class Job(NamedTuple):
    """A registration that is done."""

    data: Examples
    fisher: Fisher
    load_seconds: float
    fisher_seconds: float


def main() -> None:
    """Measure; print the figures as the last line, in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with train.parquet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("\n" + json.dumps(measure(options.folder, every=1)))


def measure(folder: Path, *, every: int) -> dict[str, Any]:
    """Seconds and memory of the registration, and of F_Dr by subtraction and anew.

    Args:
        folder: Fashion-MNIST as published in Parquet.
        every: take every so many-th training image: they lie class by class.
    """
    build = registry.builder(PARAMS)
    network = network_with(build, train(build, RECIPE, read(folder, every=every), seed=0))
    fisher_diagonal(network, read(folder, every=every).at(torch.arange(2)))  # loads code, fills caches
    job, peak = highest(lambda: register(network, folder, every=every), CPU, above=standing(CPU))
    _, plain_seconds = timed(lambda: plain(network, job.data))
    forgotten = torch.zeros(len(job.data), dtype=torch.bool)
    forgotten[torch.randperm(len(job.data), generator=torch.Generator().manual_seed(0))[:REQUEST]] = True
    gone = job.data.where(forgotten)
    subtractions = [timed(lambda: job.fisher.minus(fisher_diagonal(network, gone))) for _ in range(3)]
    anew, recompute_seconds = timed(lambda: fisher_diagonal(network, job.data.where(~forgotten)))
    subtraction_seconds = median(seconds for _, seconds in subtractions)
    return {
        "registration": {
            "samples": len(job.data),
            "seconds": round(job.load_seconds + job.fisher_seconds, 3),
            "load_seconds": round(job.load_seconds, 3),
            "fisher_seconds": round(job.fisher_seconds, 3),
            "plain_seconds": round(plain_seconds, 3),
            "fisher_over_plain": round(job.fisher_seconds / plain_seconds, 3),
            "peak_mib": round(peak / MIB, 1),
        },
        "subtraction": {
            "samples": int(forgotten.sum()),
            "seconds": round(subtraction_seconds, 4),
            "recompute_seconds": round(recompute_seconds, 3),
            "max_normwise_difference": errors_of(subtractions[0][0].sums, anew.sums).normwise,
        },
        "subtraction_speedup": round(recompute_seconds / subtraction_seconds, 1),
    }


def register(network: nn.Module, folder: Path, *, every: int) -> Job:
    """Decode the training images, pass over them once."""
    data, load_seconds = timed(lambda: read(folder, every=every))
    fisher, fisher_seconds = timed(lambda: fisher_diagonal(network, data))
    return Job(data, fisher, load_seconds, fisher_seconds)


def read(folder: Path, *, every: int) -> Examples:
    """Training images the way a job gets them."""
    path = folder / "train.parquet"
    labels = torch.from_numpy(pq.read_table(path, columns=["label"])["label"].to_numpy())
    positions = torch.arange(0, len(labels), every)
    return examples_at(
        Manifest(path, {"input": "image", "label": "label"}),
        positions,
        labels[positions],
        input_shape=PARAMS.input_shape,
        normalisation=Normalisation((0.286,), (0.353,)),
        budget_bytes=BUDGET_BYTES,
    )


def plain(network: nn.Module, data: Examples) -> None:
    """The unit: forward, backward, weight gradients of every batch mean, over all of the data."""
    parameters = list(network.parameters())
    for batch in data.batches(BATCH):
        torch.autograd.grad(cross_entropy(network(batch.inputs), batch.labels), parameters)


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """What it returns, and its seconds."""
    started = perf_counter()
    result = call()
    return result, perf_counter() - started


if __name__ == "__main__":
    main()
