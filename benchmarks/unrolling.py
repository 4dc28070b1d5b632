"""Unrolling SGD: does the unlearning error foretell the verification error, and does the SD loss lower both?

As in the paper a network is trained on half of the data first; θ₀ is what comes of it. From there it is trained on the
other half D by plain SGD at a constant rate, to θ_t, and once more from θ₀ in the same order without the terms of D_f,
to θ_r: two batches differ by what D_f adds to their mean, and nothing else does.

    verification error    ‖θ_s − θ_r‖₂                     θ_s: what `single_gradient` makes of θ_t
    unlearning error      η²·t·½·‖θ_t − θ₀‖₂·σ             σ = √|λ|, λ the top eigenvalue of the Hessian at θ_t

The latter knows neither D_f nor θ_r. Beside them stands ‖θ_t − θ_r‖₂, the error of doing nothing.

Source: Thudi et al., Unrolling SGD: Understanding Factors Influencing Machine Unlearning, 2022, §5 and §6.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from math import ceil, log, sqrt
from pathlib import Path
from statistics import correlation, mean, stdev
from time import process_time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from app.architectures.mlp import MlpParams
from app.architectures.small_cnn import SmallCnnParams
from app.core.params import ArchitectureParams
from app.methods.single_gradient import SingleGradientParams
from benchmarks.environment import environment
from benchmarks.fashion import accuracy, add_data_option, read
from worker import registry
from worker.numerics.concatenation import concatenated
from worker.numerics.descent import Objective, Plan, descend
from worker.numerics.examples import Batch, Examples
from worker.numerics.hessian import top_eigenvalue
from worker.numerics.outcome import Model
from worker.numerics.problem import Problem
from worker.numerics.recipe import Recipe
from worker.numerics.training import objective_of, train
from worker.numerics.weights import Build, Weights, network_with, weights_of

RESULTS = Path(__file__).parent / "results"
NETWORKS: dict[str, ArchitectureParams] = {
    "mlp": MlpParams(input_shape=(1, 28, 28), classes=10, layers=3, width=64),
    "small_cnn": SmallCnnParams(input_shape=(1, 28, 28), classes=10, width=8, hidden=32),
}
SEEDS = (0, 1, 2)
EPOCHS, BATCH_SIZES, RATES = (1, 4, 8), (32, 128), (0.01, 0.03)
STRENGTHS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)  # γ
FORGET = 64  # samples of D_f
CURVED = 512  # samples that the Hessian is a mean over, as in the paper
BEFORE = Recipe(learning_rate=0.05, epochs=5, batch_size=64)


class Data(NamedTuple):
    """Two halves of a part of the training images, and a part of the test images."""

    first: Examples
    second: Examples  # D
    test: Examples


class Setting(NamedTuple):
    """What is varied."""

    network: str
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    strength: float = 0.0  # γ

    @property
    def build(self) -> Build:
        """Seed to network."""
        return registry.builder(NETWORKS[self.network])

    def recipe(self) -> Recipe:
        """Plain SGD."""
        return Recipe(
            self.learning_rate,
            self.epochs,
            self.batch_size,
            momentum=0.0,
            schedule="constant",
            loss="sd" if self.strength else "cross_entropy",
            sd_strength=self.strength or None,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on one thread, store, draw, print."""
    torch.set_num_threads(1)
    options, began_in, started = _options(arguments), environment(), process_time()
    data = halves(options.data / "fashion-mnist", every=150 if options.quick else 15)
    rows = [measured(data, setting) for setting in settings(quick=options.quick)]
    figures = {"pearson": pearson(rows), **apart(rows), "by_gamma": by_gamma(data, quick=options.quick)}
    result = {
        "claim": "the unlearning error foretells the verification error; the SD loss lowers the verification error",
        "data": f"Fashion-MNIST, {len(data.second):,} images as D and as many before; |D_f| = {FORGET}",
        **figures,
        "settings": rows,
        "seconds_of_processor_time": round(process_time() - started),
        "environment": began_in,
    }
    text = markdown(result)
    if not options.quick:
        (RESULTS / "unrolling.json").write_text(json.dumps(result, indent=1) + "\n")
        (RESULTS / "unrolling.md").write_text(text + "\n")
        if find_spec("matplotlib"):
            plot(result, RESULTS / "unrolling.png")
    print(text)
    print(json.dumps(figures))


def settings(*, quick: bool) -> list[Setting]:
    """Every combination; quick: three of them."""
    if quick:
        return [Setting("mlp", 0, epochs, 32, 0.01) for epochs in (1, 2, 4)]
    return [Setting(*values) for values in product(NETWORKS, SEEDS, EPOCHS, BATCH_SIZES, RATES)]


def measured(data: Data, setting: Setting) -> dict[str, Any]:
    """All figures of one setting."""
    build, recipe, objective = setting.build, setting.recipe(), objective_of(setting.recipe())
    start = before(data, setting.network, setting.seed, setting.strength)
    drawn = torch.randperm(len(data.second), generator=torch.Generator().manual_seed(setting.seed))[:FORGET]
    forget = data.second.at(drawn)
    trained = onward(build, start, data.second, objective, setting)
    retrained = onward(build, start, data.second, without(objective, forget.positions), setting)
    problem = Problem(build, trained, 10, "A", setting.seed, forget=forget, initial=start, recipe=recipe)
    unlearned = registry.unlearn(problem, SingleGradientParams()).weights
    curved = data.second.at(torch.arange(0, len(data.second), ceil(len(data.second) / CURVED)))
    sigma = sqrt(abs(top_eigenvalue(network_with(build, trained), curved, objective, seed=setting.seed)))
    steps = setting.epochs * ceil(len(data.second) / setting.batch_size)
    moved = distance(trained, start)
    return setting._asdict() | {
        "steps": steps,
        "sigma": _short(sigma),
        "drift": _short(moved),
        "unlearning_error": _short(setting.learning_rate**2 * steps / 2 * moved * sigma),
        "verification_error": _short(distance(unlearned, retrained)),
        "no_op_error": _short(distance(trained, retrained)),
        "accuracy": accuracy(Model(build, trained), data.test),
        "accuracy_unlearned": accuracy(Model(build, unlearned), data.test),
        "accuracy_retrained": accuracy(Model(build, retrained), data.test),
    }


def onward(build: Build, start: Weights, examples: Examples, objective: Objective, setting: Setting) -> Weights:
    """From θ₀ on; the same setting gives the same batches."""
    network = network_with(build, start)
    descend(network, examples, objective, Plan.of(setting.recipe()), seed=setting.seed, train_mode=True)
    return weights_of(network)


def without(objective: Objective, positions: Tensor) -> Objective:
    """The objective less the terms of some samples: L(b) − 1/B Σ_{x ∈ b ∩ D_f} ℓ(x), with B that of the whole batch."""

    def kept(network: nn.Module, batch: Batch) -> Tensor:
        stays = ~torch.isin(batch.positions, positions)
        if not stays.any():
            return 0 * objective(network, batch)
        left = Batch(*(column[stays] for column in batch))
        return objective(network, left) * (len(left.labels) / len(batch.labels))

    return kept


@cache
def before(data: Data, network: str, seed: int, strength: float) -> Weights:
    """θ₀: trained on the other half, with the loss that is used afterwards."""
    recipe = Setting(network, seed, 1, 1, 1.0, strength).recipe()
    first = replace(BEFORE, loss=recipe.loss, sd_strength=recipe.sd_strength)
    return train(registry.builder(NETWORKS[network]), first, data.first, seed=seed)


def distance(left: Weights, right: Weights) -> float:
    """‖θ − θ′‖₂ over all tensors."""
    return sqrt(sum(float(((left[name] - right[name]).double() ** 2).sum()) for name in left))


def pearson(rows: Sequence[dict[str, Any]]) -> float:
    """Pearson's correlation of the two errors."""
    return _short(correlation(*(_column(rows, f"{kind}_error") for kind in ("unlearning", "verification"))))


def apart(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The correlation of logarithms, where the largest do not outweigh the rest, and that of each network by itself."""
    logs = [[log(value) for value in _column(rows, f"{kind}_error")] for kind in ("unlearning", "verification")]
    networks = dict.fromkeys(row["network"] for row in rows)
    return {
        "pearson_of_logarithms": _short(correlation(*logs)),
        "pearson_by_network": {name: pearson([row for row in rows if row["network"] == name]) for name in networks},
    }


def by_gamma(data: Data, *, quick: bool) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation over the seeds, for every strength of the SD loss."""
    names = ("verification_error", "no_op_error", "unlearning_error", "sigma", "drift")
    found = {}
    for strength in STRENGTHS[:2] if quick else STRENGTHS:
        rows = [measured(data, Setting("mlp", seed, 4, 32, 0.01, strength)) for seed in SEEDS]
        kept = [name for name in rows[0] if name in names or name.startswith("accuracy")]
        found[f"{strength:g}"] = {name: _spread(_column(rows, name)) for name in kept}
    return found


def halves(folder: Path, *, every: int) -> Data:
    """Of every so many-th training image in turn one for each half, so that both have all classes."""
    train_set, *tests = read(folder, every=every)
    rows = torch.arange(len(train_set))
    test = concatenated(*tests)
    return Data(train_set.at(rows[::2]), train_set.at(rows[1::2]), test.at(torch.arange(0, len(test), 5)))


def markdown(result: dict[str, Any]) -> str:
    """The correlations, and a table by γ."""
    rows = result["by_gamma"]
    head = ["γ", *(name.replace("_", " ") for name in next(iter(rows.values())))]
    lines = [head, ["---"] * len(head)]
    lines += [[gamma, *(f"{m:.4g} ± {s:.2g}" for m, s in row.values())] for gamma, row in rows.items()]
    networks = ", ".join(f"{name} {value:.3f}" for name, value in result["pearson_by_network"].items())
    said = (
        f"Pearson's correlation of unlearning and verification error over {len(result['settings'])} settings:"
        f" {result['pearson']:.3f} ({networks}; of their logarithms {result['pearson_of_logarithms']:.3f})."
    )
    return "\n".join([said, "", *(f"| {' | '.join(line)} |" for line in lines)])


def plot(result: dict[str, Any], path: Path) -> None:
    """Left: error against error, on logarithmic axes. Right: the verification error against γ."""
    figure = import_module("matplotlib.figure").Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in NETWORKS:
        rows = [row for row in result["settings"] if row["network"] == name]
        left.scatter(_column(rows, "unlearning_error"), _column(rows, "verification_error"), label=name, s=14)
    left.set(xscale="log", yscale="log", xlabel="unlearning error", ylabel="verification error")
    left.set_title(f"Pearson {result['pearson']:.3f}")
    left.legend()
    for name, label in (("verification_error", "single_gradient"), ("no_op_error", "doing nothing")):
        points = [row[name] for row in result["by_gamma"].values()]
        right.errorbar(list(result["by_gamma"]), [m for m, _ in points], [s for _, s in points], label=label, capsize=3)
    right.set(xlabel="γ of the SD loss", ylabel="distance to the retrained weights")
    right.legend()
    figure.savefig(path, dpi=120)


def _column(rows: Sequence[dict[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows]


def _spread(values: Sequence[float]) -> list[float]:
    return [_short(mean(values)), _short(stdev(values))]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.unrolling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three settings on 200 images; nothing is stored")
    add_data_option(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
