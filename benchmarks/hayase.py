"""Hayase et al. 2020, Table 2 and Figure 4: the ten-layer perceptron forgets class 0, or a feature of it, without D_r.

`fashion_mnist.A.{method}` and `fashion_mnist.{tile,line}.{B,C}.{method}` hold mean, std and n of test accuracies;
`fashion_mnist.cnn` and `cifar10.cifar10_cnn` the same for small convolutional networks and the tile. `--part` measures
one part anew and leaves the others, `--method` and `--seed` some rows and networks of it; `runs` has every row by its
seed, with the commit it was measured at. Seconds are the processor's. Pretrained networks and their Fishers are kept.
"""

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any

from app.core.params import MethodParams
from app.methods.rld import RldParams
from app.methods.rnd import RndParams
from app.methods.truncation import TruncationParams
from benchmarks.environment import environment
from benchmarks.fashion import BUILD, FORGOTTEN, NETWORK, NORMALISATION, RECIPE, Data, accuracies, add_data_option, read
from benchmarks.feature_patterns import SUBJECTS, forget
from benchmarks.hayase_report import plot, tables
from benchmarks.store import Store, Training, add_cache_option
from worker import registry
from worker.numerics.outcome import Model
from worker.numerics.problem import Problem

RESULT = Path(__file__).parent / "results" / "hayase.json"
PARTS = ("A", *SUBJECTS)
SEEDS = (0, 1, 2)
METHODS: dict[str, MethodParams] = {
    "rld": RldParams(penalty_strength=6e4, learning_rate=1e-3),  # chosen by hayase_search
    "rld_1e4": RldParams(penalty_strength=1e4),
    "rld_paper": RldParams(),
    "rnd": RndParams(),
    "truncation": TruncationParams(),
}
PAPER = {
    "A": {
        "pretrained": {"D_f": 0.871, "D_r": 0.875},
        "rld": {"D_f": 0.012, "D_r": 0.819},
        "rnd": {"D_f": 0.144, "D_r": 0.793},
        "truncation": {"D_r": 0.895},
    },
    "B, C": "Figure 4 has no numbers: D_r,extra about .5 for CE + Fisher + RLD, near 0 for CE and for CE + Fisher",
}
"""Test accuracies that the paper reports."""
KNOWN = {
    "tile": {
        "retrain": [0.884, 0.245, 0.827, 0.531],
        "B.rld": [0.730, 0.133, 0.981, 0.551],
        "C.rld": [0.840, 0.832, 0.873, 0.521],
        "B.consistency": [0.849, 0.011, 0.799, 0.863],
        "C.consistency": [0.899, 0.774, 0.001, 0.817],
        "B.consistency_both": [0.862, 0.694, 0.734, 0.837],
    },
    "line": {
        "B.rld": [0.708, 0.247, 0.984, 0.722],
        "C.rld": [0.813, 0.705, 0.927, 0.628],
        "B.consistency": [0.842, 0.290, 0.833, 0.883],
        "C.consistency": [0.883, 0.799, 0.447, 0.841],
        "B.consistency_both": [0.853, 0.770, 0.791, 0.853],
    },
}
"""D_r, D_f, D_f,clean, D_r,extra of another implementation, three seeds; `rld` as reproduced there."""
Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print: one line a row, then the same figures as one line of JSON."""
    options, began_in = _options(arguments), environment()  # now: the commit may move while this runs
    parts = [options.part] if options.part else ["A"] if options.quick else list(PARTS)
    for part in parts:
        data = _data(options, part)
        runs: dict[str, Figures] = {}
        for seed in options.seed or ([0] if options.quick else SEEDS):
            runs[str(seed)] = stamped(
                measured(data, seed, part, Store(options.cache), options.method or ()), str(began_in["commit"])
            )
            if not options.quick:  # after every seed: `n` says how many there are
                store(part, runs, began_in, other_rows=bool(options.method), other_seeds=bool(options.seed))
        figures = gathered(list(runs.values()))
        for line in lines(figures, part):
            print(line)
        print(json.dumps({part: figures, "seeds": len(runs), "quick": options.quick}))
    if not options.quick:
        plot(json.loads(RESULT.read_text()), RESULT.with_suffix(".png"))


def measured(data: Data, seed: int, part: str, store: Store, only: Collection[str] = ()) -> Figures:
    """Everything of one part from one seed, or some rows of it."""
    return forget_class(data, seed, store) if part == "A" else forget(data, seed, SUBJECTS[part], store, only)


def forget_class(data: Data, seed: int, store: Store) -> Figures:
    """Train on everything, store the Fisher, then forget the class by every method."""
    problem = class_problem(data, seed, store)
    figures: Figures = {"pretrained": class_accuracies(Model(BUILD, problem.old), data)}
    for name, method in METHODS.items():
        started = process_time()
        outcome = registry.unlearn(problem, method)
        seconds = process_time() - started
        model = Model(BUILD, outcome.weights, outcome.silenced)
        figures[name] = {**class_accuracies(model, data), "seconds": seconds}
        print(f"seed {seed} A.{name} {figures[name]}", flush=True)
    return figures


def class_problem(data: Data, seed: int, store: Store) -> Problem:
    """A network trained on everything, its stored Fisher, and class 0 to be forgotten."""
    training = Training(NETWORK, RECIPE, data.train, ("fashion-mnist", NORMALISATION), seed)
    old = store.trained(training)
    return Problem(
        build=BUILD,
        old=old,
        classes=10,
        pattern="A",
        seed=seed,
        forget=data.train.where(data.train.labels == FORGOTTEN),
        fisher=store.fisher(training, old),
        recipe=RECIPE,
        forgotten_class=FORGOTTEN,
    )


def class_accuracies(model: Model, data: Data) -> dict[str, float]:
    """Test accuracy on the forgotten class and on the others, by the paper's names."""
    found = accuracies(model, data)
    return {"D_f": found["forget"], "D_r": found["retain"]}


def stamped(figures: Figures, commit: str) -> Figures:
    """Every row with the commit it was measured at."""
    if "D_r" in figures:
        return {**figures, "commit": commit}
    return {key: stamped(below, commit) for key, below in figures.items()}


def gathered(runs: Sequence[Figures]) -> Figures:
    """Mean, standard deviation and number of the runs that have it, for every figure at whatever depth."""
    found: Figures = {}
    for key in dict.fromkeys(key for run in runs for key in run if key != "commit"):
        values = [run[key] for run in runs if key in run]
        found[key] = gathered(values) if isinstance(values[0], dict) else _spread(values)
    return found


def beside(before: Mapping[str, Figures], runs: Mapping[str, Figures], *, other_seeds: bool) -> dict[str, Figures]:
    """What was measured now, by seed, and of earlier runs the other rows; these rows too for seeds not measured now.

    Args:
        before: the earlier runs.
        runs: those of now.
        other_seeds: whether a row's other seeds stay. If not, no row is a mixture of two measurements.
    """
    fresh = {(pattern, name) for run in runs.values() for pattern, rows in run.items() for name in rows}
    found: dict[str, Figures] = {}
    for seed in sorted({*before, *runs}, key=int):
        old, new = before.get(seed, {}), runs.get(seed, {})
        replaced = set() if other_seeds and not new else fresh
        kept = {p: {n: row for n, row in rows.items() if (p, n) not in replaced} for p, rows in old.items()}
        found[seed] = {p: {**kept.get(p, {}), **new.get(p, {})} for p in dict.fromkeys([*old, *new])}
    return found


def lines(figures: Figures, above: str) -> list[str]:
    """One line for each method."""
    if "D_r" in figures:
        shown = " ".join(f"{key} {value['mean']:.3f}±{value['std']:.3f}" for key, value in figures.items())
        return [f"{above:26} {shown}"]
    return [line for key, below in figures.items() for line in lines(below, f"{above}.{key}")]


def store(
    part: str, runs: Mapping[str, Figures], began_in: Mapping[str, Any], *, other_rows: bool, other_seeds: bool
) -> None:
    """Put what was measured beside the other parts, and beside the rows or seeds of its own part that stay."""
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result |= {"claim": __doc__, "paper": PAPER, "known": KNOWN}
    images = "cifar10" if part == "cifar10_cnn" else "fashion_mnist"
    if other_rows or other_seeds:
        runs = beside(result.get("runs", {}).get(part, {}), runs, other_seeds=other_seeds)
    figures = gathered(list(runs.values()))
    for name, value in ((images, figures), ("runs", runs), ("environment", began_in)):
        result[name] = {**result.get(name, {}), part: value}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    RESULT.with_suffix(".md").write_text(tables(result) + "\n")


def _data(options: argparse.Namespace, part: str) -> Data:
    every = 10 if options.quick else 1
    if part == "A":
        return read(options.data / "fashion-mnist", every=every)
    subject = SUBJECTS[part]
    return read(options.data / subject.folder, every=every, normalisation=subject.normalisation)


def _spread(values: Sequence[float]) -> dict[str, float]:
    spread = stdev(values) if len(values) > 1 else 0.0
    return {"mean": round(mean(values), 4), "std": round(spread, 4), "n": len(values)}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hayase", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed on 6,000 images; nothing is stored")
    parser.add_argument("--part", choices=PARTS, help="only this one: pattern A, or patterns B and C of a network")
    parser.add_argument(
        "--method", nargs="+", help="with --part: only these rows of B and C, as B.consistency, or retrain"
    )
    parser.add_argument(
        "--seed", nargs="+", type=int, help="only these pretrained networks, beside those stored; otherwise 0, 1 and 2"
    )
    add_data_option(parser)
    add_cache_option(parser)
    options = parser.parse_args(arguments)
    if options.method:
        subject = SUBJECTS.get(options.part)
        offered = ["retrain", *subject.trials(subject.transform)] if subject else []
        if unknown := sorted(set(options.method) - set(offered)):
            parser.error(f"--method: no {', '.join(unknown)} there, only {', '.join(offered) or 'whole parts'}")
    return options


if __name__ == "__main__":
    main()
