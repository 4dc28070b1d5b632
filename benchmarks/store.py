"""Trained weights and Fisher diagonals kept between runs of a benchmark: training is what its time goes to."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from app.core.params import ArchitectureParams
from benchmarks.environment import REPOSITORY
from worker import artifacts, registry
from worker.numerics.examples import Examples
from worker.numerics.fisher import Fisher, fisher_diagonal
from worker.numerics.recipe import Recipe
from worker.numerics.training import train
from worker.numerics.weights import Weights, network_with


class Training(NamedTuple):
    """All that trained weights depend on."""

    network: ArchitectureParams
    recipe: Recipe
    examples: Examples  # named by their positions, in order
    inputs: tuple[object, ...]  # which data set that is, and what is done to it
    seed: int

    def facts(self) -> tuple[object, ...]:
        """What it is found by."""
        positions = self.examples.positions.tolist()
        return self.network, self.recipe, positions, self.inputs, self.seed, torch.__version__


class Store(NamedTuple):
    """A folder of safetensors files, each named by the digest of its training.

    The code that trains is not in the digest: empty the folder when that changes.
    """

    folder: Path

    def trained(self, training: Training) -> Weights:
        """The weights that come of it, computed once."""
        build = registry.builder(training.network)
        return self._once(
            "weights", training, lambda: train(build, training.recipe, training.examples, seed=training.seed)
        )

    def fisher(self, training: Training, old: Weights) -> Fisher:
        """The Fisher diagonal of the weights that came of it, over the same examples, computed once."""
        network = network_with(registry.builder(training.network), old)
        sums = self._once("fisher", training, lambda: fisher_diagonal(network, training.examples).sums)
        return Fisher(sums=sums, count=len(training.examples))

    def _once(self, what: str, training: Training, make: Callable[[], Weights]) -> Weights:
        path = self.folder / f"{artifacts.digest_of([what, *map(repr, training.facts())])[:32]}.safetensors"
        if not path.exists():
            artifacts.write(path, make())
        return load_file(path)


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """`--cache`: where trainings are kept."""
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build" / "trained", help="where trainings are kept")
