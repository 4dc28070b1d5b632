"""The loop that the arena's benchmarks share: every method, every scenario, every seed, stored as it grows."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.arena import SCENARIOS, Method, Round, Row, gold_row, played, round_of
from benchmarks.arena_data import GROUNDS, Ground, read
from benchmarks.arena_store import Store
from benchmarks.arena_tables import gathered
from benchmarks.environment import REPOSITORY
from benchmarks.fashion import add_data_option

UNITS = "accuracies, MIA, gap, AUC and ToW in percent, their differences in points; seconds of one processor thread"
Runs = dict[str, dict[str, dict[str, list[Row]]]]  # ground, scenario, method: a row for each seed
Methods = Callable[[str, str], Mapping[str, Method]]  # of a ground and a scenario


class Effort(NamedTuple):
    """How much is run."""

    quick: bool
    grounds: Sequence[str]
    seeds: Sequence[int]
    data: Path
    store: Store


def run(effort: Effort, methods: Methods, keep: Callable[[Runs], None]) -> Runs:
    """Play everything, telling `keep` after every round, so that a run that is cut short has its rounds."""
    torch.set_num_threads(1)
    runs: Runs = {}
    for name in effort.grounds:
        ground = quick(GROUNDS[name]) if effort.quick else GROUNDS[name]
        data = read(effort.data, ground)
        for seed in effort.seeds:
            for scenario in SCENARIOS:
                one = round_of(ground, data, effort.store, scenario, seed, held_out=data.report)
                into = runs.setdefault(name, {}).setdefault(scenario, {})
                play(one, methods(name, scenario), into, f"{name}.{scenario} seed {seed}")
                keep(runs)
    return runs


def play(one: Round, methods: Mapping[str, Method], into: dict[str, list[Row]], label: str) -> None:
    """Every method of one round; its row is appended to those of earlier seeds."""
    into.setdefault("gold_gold", []).append(gold_row(one))
    for name, method in methods.items():
        row = played(one, method)
        into.setdefault(name, []).append(row)
        shown = row.get("failed") or " ".join(
            f"{key} {row[key]:.2f}" for key in ("gap", "acc_df", "acc_dr", "acc_test", "mia", "delta_auc", "seconds")
        )
        print(f"{label} {name}: {shown}", flush=True)


def summary(runs: Runs) -> dict[str, dict[str, dict[str, Any]]]:
    """Ground, scenario, method: every figure over the seeds."""
    return {
        ground: {s: {name: gathered(rows) for name, rows in methods.items()} for s, methods in scenarios.items()}
        for ground, scenarios in runs.items()
    }


def quick(ground: Ground) -> Ground:
    """A tenth of the images, half the epochs: whether it runs, not what comes out."""
    recipe = replace(ground.recipe, epochs=max(2, ground.recipe.epochs // 2))
    return ground._replace(samples=ground.samples // 10, recipe=recipe)


def setting(grounds: Sequence[str]) -> dict[str, Any]:
    """What was run, for the result file."""
    return {
        name: {
            "samples": ground.samples,
            "network": ground.network.model_dump(mode="json"),
            "recipe": vars(ground.recipe),
        }
        for name, ground in GROUNDS.items()
        if name in grounds
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """As JSON, one figure's mean, std and n on a line."""
    path.write_text(json.dumps(document, indent=1) + "\n")


def options(parser: argparse.ArgumentParser, *, grounds: Sequence[str]) -> argparse.ArgumentParser:
    """The command line: `--quick`, `--ground`, `--seeds`, `--data`, `--cache`."""
    parser.add_argument("--quick", action="store_true", help="one seed on a tenth of the images; nothing is stored")
    parser.add_argument("--ground", choices=grounds, action="append", help="only this one; may be repeated")
    parser.add_argument("--seeds", type=int, default=3, help="pretrained networks, each with a D_f of its own")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build" / "arena", help="where trainings are kept")
    add_data_option(parser)
    return parser


def effort_of(given: argparse.Namespace, *, grounds: Sequence[str]) -> Effort:
    """What the command line asked for."""
    return Effort(
        given.quick,
        (given.ground or list(grounds))[: 1 if given.quick else None],
        range(1 if given.quick else given.seeds),
        given.data,
        Store(given.cache),
    )
