"""Values for rows of `benchmarks.hayase`, chosen on validation data: a sixth of the training images, which nobody saw.

Seeds are not those of the table. A row is a grid; `rows.{row}` has what each of its points gives, mean over the seeds,
and the point chosen: the one that meets the row's condition with the most of its aim. `--test` plays the points that
are stored as chosen on the networks and the test images of the table: `rows.{row}.test`, mean, std and n.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch

from app.core.params import MethodParams
from app.methods.consistency import ConsistencyParams
from app.methods.rld import RldParams
from benchmarks import fashion
from benchmarks.environment import environment
from benchmarks.fashion import Data, add_data_option, read
from benchmarks.feature_patterns import SUBJECTS, Trial, row, trained
from benchmarks.hayase import class_accuracies, class_problem, gathered
from benchmarks.store import Store, add_cache_option
from worker import registry
from worker.numerics.outcome import Model
from worker.numerics.problem import Pattern, Problem

RESULT = Path(__file__).parent / "results" / "hayase_search.json"
SEEDS, TEST_SEEDS = (101, 102), (0, 1, 2)
ONE_IN = 6
"""So many-th training image is for validation."""
Figures = dict[str, float]


class Search(NamedTuple):
    """A row of the table, and what may be varied in it."""

    method: MethodParams
    grid: Mapping[str, Sequence[float]]
    aim: Callable[[Figures], tuple[float, ...]]
    """What is to be large: the first figure, and where points share it the next."""
    meets: Callable[[Figures, Figures], bool]
    """Its condition, on what a point gives and what the deployed model gives."""


def forgets(found: Figures, _before: Figures) -> bool:
    """D_f ≤ .02."""
    return found["D_f"] <= 0.02


def keeps(found: Figures, before: Figures, *, lost: float = 0.035, extra: float = 0.845) -> bool:
    """At most `lost` of D_r is lost, and D_r,extra at least `extra`.

    By default five points and .83, with a point and a half of each kept for the test data.
    """
    return found["D_r"] >= before["D_r"] - lost and found["D_r_extra"] >= extra


SEARCHES: Mapping[str, Search] = {
    "A.rld": Search(
        RldParams(),
        {"penalty_strength": (4e4, 6e4, 8e4), "learning_rate": (1e-4, 3e-4, 1e-3)},
        lambda found: (found["D_r"], -found["D_f"]),
        forgets,
    ),
    "tile.B.consistency": Search(
        ConsistencyParams(),
        {"label_strength": (0.3, 0.5, 0.7), "anchor_strength": (0.5, 1.0)},
        lambda found: (found["D_f_clean"],),
        keeps,
    ),
    "tile.C.consistency": Search(
        ConsistencyParams(),
        {"consistency_strength": (1.0, 2.0, 4.0), "penalty_strength": (1e3, 3e3), "steps": (250, 500)},
        lambda found: (found["D_f"],),  # what forgetting the feature should leave alone
        keeps,
    ),
    "cnn.B.consistency": Search(
        ConsistencyParams(surrogates="pool"),
        {"label_strength": (0.15, 0.3, 0.6), "consistency_strength": (2.0, 4.0)},
        lambda found: (min(found["D_r"], found["D_f_clean"], found["D_r_extra"]),),  # the paper's criterion
        partial(keeps, extra=0.85),
    ),
    "cnn.C.consistency": Search(
        ConsistencyParams(surrogates="pool"),
        {"label_strength": (0.5, 1.0, 2.0), "consistency_strength": (2.0, 4.0)},
        lambda found: (found["D_f"],),
        partial(keeps, lost=0.02, extra=0.83),
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Try every point of every row asked for, store what came of it."""
    options, began_in = _options(arguments), environment()
    if options.test:
        tested(options, began_in)
        return
    data = validation(read(options.data / "fashion-mnist", every=10 if options.quick else 1))
    for name in options.row or SEARCHES:
        search = SEARCHES[name]
        points = [dict(zip(search.grid, values, strict=True)) for values in product(*search.grid.values())]
        points, seeds = (points[:2], SEEDS[:1]) if options.quick else (points, SEEDS)
        found = searched(data, name, points, seeds, Store(options.cache))
        print(json.dumps({name: found}))
        if not options.quick:
            rows = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else {}
            rows[name] = {**found, "seeds": list(SEEDS), "environment": began_in}
            RESULT.write_text(json.dumps({"claim": __doc__, "rows": rows}, indent=1) + "\n")


def tested(options: argparse.Namespace, began_in: Mapping[str, Any]) -> None:
    """Play the chosen points on the test images, and store what came of it after every network."""
    data = read(options.data / "fashion-mnist", every=1)
    for name in options.row or SEARCHES:
        rows = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else {}
        chosen, runs = rows.get(name, {}).get("chosen"), []
        if chosen is None:
            raise SystemExit(f"{name}: nothing is stored as chosen, search first")
        for seed in TEST_SEEDS:
            runs += tried(data, seed, name, [chosen], Store(options.cache))[1]
            result = json.loads(RESULT.read_text())
            result["rows"][name]["test"] = {**gathered(runs), "environment": began_in}
            RESULT.write_text(json.dumps(result, indent=1) + "\n")
            print(f"{name} {chosen} {gathered(runs)}", flush=True)


def searched(
    data: Data, name: str, points: Sequence[Mapping[str, float]], seeds: Sequence[int], store: Store
) -> dict[str, Any]:
    """The point of a row that is best, and what all give."""
    search = SEARCHES[name]
    runs = [tried(data, seed, name, points, store) for seed in seeds]
    deployed = _mean([before for before, _ in runs])
    found = [_mean(of_seeds) for of_seeds in zip(*(found for _, found in runs), strict=True)]
    fit = [number for number, figures in enumerate(found) if search.meets(figures, deployed)]
    best = max(fit, key=lambda number: search.aim(found[number]), default=None)
    return {
        "chosen": None if best is None else points[best],
        "deployed": deployed,
        "points": [{**point, **figures} for point, figures in zip(points, found, strict=True)],
    }


def validation(data: Data) -> Data:
    """Training images in two parts, the second of which stands where the test images stood."""
    held = torch.arange(len(data.train)) % ONE_IN == ONE_IN - 1
    seen, kept = data.train.at((~held).nonzero().flatten()), data.train.at(held.nonzero().flatten())
    asked = kept.labels == fashion.FORGOTTEN
    return Data(seen, kept.where(asked), kept.where(~asked))


def tried(
    data: Data, seed: int, name: str, points: Sequence[Mapping[str, float]], store: Store
) -> tuple[Figures, list[Figures]]:
    """What the deployed model gives, and every point."""
    part, _, trial = name.partition(".")
    methods = [SEARCHES[name].method.model_copy(update=dict(point)) for point in points]
    if part == "A":
        problem = class_problem(data, seed, store)
        before = class_accuracies(Model(problem.build, problem.old), data)
        return before, [_forgotten(problem, method, data) for method in methods]
    subject = SUBJECTS[part]
    problem, before = trained(data, seed, subject, store)
    pattern: Pattern = "C" if trial.startswith("C") else "B"
    problem = replace(problem, pattern=pattern)
    return before, [row(problem, Trial(pattern, method), data, subject.transform) for method in methods]


def _forgotten(problem: Problem, method: MethodParams, data: Data) -> Figures:
    outcome = registry.unlearn(problem, method)
    return class_accuracies(Model(problem.build, outcome.weights, outcome.silenced), data)


def _mean(runs: Sequence[Figures]) -> Figures:
    return {key: round(mean(run[key] for run in runs), 4) for key in runs[0]}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hayase_search", description=__doc__)
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--quick", action="store_true", help="two points of each on 6,000 images; nothing is stored")
    either.add_argument("--test", action="store_true", help="what is stored as chosen, on the test images")
    parser.add_argument("--row", nargs="*", choices=sorted(SEARCHES), help="only these")
    add_data_option(parser)
    add_cache_option(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
