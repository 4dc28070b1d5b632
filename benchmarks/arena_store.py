"""Trained weights and Fisher diagonals kept between runs of a benchmark: training is what its time goes to."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file

from benchmarks.arena_data import Ground
from worker import artifacts
from worker.numerics.examples import Examples
from worker.numerics.fisher import Fisher, fisher_diagonal
from worker.numerics.training import train
from worker.numerics.weights import Build, Weights, network_with


class Store(NamedTuple):
    """A folder of safetensors files, each named by the digest of all that it depends on."""

    folder: Path

    def trained(self, build: Build, ground: Ground, examples: Examples, *, seed: int) -> Weights:
        """The ground's recipe from this seed on these examples, computed once."""
        return self._once(
            ("weights", seed, *facts(ground, examples)), lambda: train(build, ground.recipe, examples, seed=seed)
        )

    def fisher(self, build: Build, old: Weights, ground: Ground, examples: Examples, *, seed: int) -> Fisher:
        """The Fisher diagonal of weights that came of this seed, over the same examples."""
        sums = self._once(
            ("fisher", seed, *facts(ground, examples)),
            lambda: fisher_diagonal(network_with(build, old), examples).sums,
        )
        return Fisher(sums=sums, count=len(examples))

    def _once(self, what: tuple[object, ...], make: Callable[[], Weights]) -> Weights:
        path = self.folder / f"{artifacts.digest_of(list(map(str, what)))[:32]}.safetensors"
        if not path.exists():
            artifacts.write(path, make())
        return load_file(path)


def facts(ground: Ground, examples: Examples) -> tuple[object, ...]:
    """What a training depends on besides its seed. The data is named by the positions, in order."""
    return ground, examples.positions.tolist(), torch.__version__
