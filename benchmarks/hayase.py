"""Hayase et al. 2020, Table 2: the ten-layer perceptron forgets class 0 of Fashion-MNIST, without its training data."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter

from app.core.params import MethodParams
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from app.methods.truncation import TruncationParams
from benchmarks.environment import environment
from benchmarks.fashion import BUILD, FORGOTTEN, RECIPE, Data, accuracies, add_data_option, read
from worker import registry
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.outcome import Model
from worker.numerics.problem import Problem
from worker.numerics.training import train
from worker.numerics.weights import network_with

RESULT = Path(__file__).parent / "results" / "hayase.json"
METHODS: dict[str, MethodParams] = {
    "rld": RldParams(),
    "rld_1e4": RldParams(penalty_strength=1e4),
    "rnd": RndParams(),
    "truncation": TruncationParams(),
}
PAPER = {
    "pretrained": [0.871, 0.875],
    "rld": [0.012, 0.819],
    "rnd": [0.144, 0.793],
    "truncation": [None, 0.895],
}
"""Test accuracies on D_f and D_r that the paper reports (truncation has no D_f)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print: a table, then the same figures as one line of JSON."""
    options, began_in = _options(arguments), environment()  # now: the commit may move while this runs
    data = read(options.data / "fashion-mnist", every=10 if options.quick else 1)
    seeds = range(1 if options.quick else 3)
    runs = [forget(data, seed) for seed in seeds]
    figures = summary(runs)
    for name, row in figures.items():
        print(f"{name:12} D_f {row['forget']:.3f} D_r {row['retain']:.3f}   paper {PAPER.get(name, ['-', '-'])}")
    result = {
        "claim": "Hayase et al. 2020, Table 2, Fashion-MNIST, class 0: test accuracy on D_f and D_r",
        "quick": options.quick,
        "seeds": len(seeds),
        "figures": figures,
        "paper": PAPER,
        "runs": runs,
        "environment": began_in,
    }
    if not options.quick:
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({"figures": figures, "paper": PAPER, "seeds": len(seeds), "quick": options.quick}))


def forget(data: Data, seed: int) -> dict[str, dict[str, float]]:
    """Train on everything, store the Fisher, then forget the class by every method; all from one seed."""
    started = perf_counter()
    old = train(BUILD, RECIPE, data.train, seed=seed)
    trained = perf_counter()
    fisher = fisher_diagonal(network_with(BUILD, old), data.train)
    figures = {
        "pretrained": {
            **accuracies(Model(BUILD, old), data),
            "seconds": trained - started,
            "fisher_seconds": perf_counter() - trained,
        }
    }
    problem = Problem(
        build=BUILD,
        old=old,
        classes=10,
        pattern="A",
        seed=seed,
        forget=data.train.where(data.train.labels == FORGOTTEN),
        fisher=fisher,
        recipe=RECIPE,
        forgotten_class=FORGOTTEN,
    )
    for name, method in METHODS.items():
        started = perf_counter()
        outcome = registry.unlearn(problem, method)
        seconds = perf_counter() - started
        model = Model(BUILD, outcome.weights, outcome.silenced)
        figures[name] = {**accuracies(model, data), "seconds": seconds}
    return {name: {key: round(value, 4) for key, value in row.items()} for name, row in figures.items()}


def summary(runs: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Mean over the seeds, and the standard deviation of the two accuracies where there is more than one."""
    figures = {}
    for name, first in runs[0].items():
        figures[name] = {key: round(mean(run[name][key] for run in runs), 4) for key in first}
        if len(runs) > 1:
            spread = {f"{key}_sd": round(stdev(run[name][key] for run in runs), 4) for key in ("forget", "retain")}
            figures[name].update(spread)
    return figures


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hayase", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed on 6,000 images; nothing is stored")
    add_data_option(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
