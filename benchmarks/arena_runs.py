"""The loop that the arena's benchmarks share: every ground, scenario, seed and method."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.arena import Method, Round, Row, gold_row, played, round_of
from benchmarks.arena_data import GROUNDS, Ground, read
from benchmarks.fashion import add_data_option
from benchmarks.store import Store, add_cache_option

SEARCH_SEEDS = 1000  # added to a seed: no network that values are chosen on is among those that are reported
SHOWN = ("gap", "acc_df", "acc_dr", "acc_test", "mia", "delta_auc", "seconds")
Runs = dict[str, dict[str, dict[str, list[Row]]]]  # ground, scenario, method: a row for each seed
Methods = Callable[[str], Mapping[str, Method]]  # of a scenario


class Effort(NamedTuple):
    """How much is run."""

    quick: bool
    grounds: Sequence[str]
    seeds: int
    data: Path
    store: Store


def run(
    effort: Effort,
    methods: Methods,
    keep: Callable[[Runs], None],
    *,
    scenarios: Sequence[str],
    search: bool = False,
) -> None:
    """Play everything, telling `keep` after every round, so that a run that is cut short has its rounds.

    Args:
        effort: how much.
        methods: by name, for a scenario.
        keep: given all rows so far.
        scenarios: `class`, `random`.
        search: on networks of its own and the validation half of the test set, instead of the half for reports.
    """
    torch.set_num_threads(1)
    runs: Runs = {}
    for name in effort.grounds:
        ground = quick(GROUNDS[name]) if effort.quick else GROUNDS[name]
        data = read(effort.data, ground)
        held_out, first = (data.validation, SEARCH_SEEDS) if search else (data.report, 0)
        for seed in range(first, first + effort.seeds):
            for scenario in scenarios:
                one = round_of(ground, data, effort.store, scenario, seed, held_out=held_out)
                into = runs.setdefault(name, {}).setdefault(scenario, {})
                play(one, methods(scenario), into, f"{name}.{scenario} seed {seed}")
                keep(runs)


def play(one: Round, methods: Mapping[str, Method], into: dict[str, list[Row]], label: str) -> None:
    """Every method of one round; its row is appended to those of earlier seeds."""
    into.setdefault("gold_gold", []).append(gold_row(one))
    for name, method in methods.items():
        row = played(one, method)
        into.setdefault(name, []).append(row)
        shown = row.get("failed") or " ".join(f"{key} {row[key]:.2f}" for key in SHOWN if key in row)
        print(f"{label} {name}: {shown}", flush=True)


def quick(ground: Ground) -> Ground:
    """A tenth of the images or 600, few epochs: whether it runs, not what comes out."""
    return ground._replace(samples=min(600, ground.samples // 10), recipe=replace(ground.recipe, epochs=2))


def options(name: str, claim: str | None, *, grounds: Sequence[str]) -> argparse.ArgumentParser:
    """The command line: `--quick`, `--ground`, `--seeds`, `--data`, `--cache`."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=claim)
    parser.add_argument("--quick", action="store_true", help="one seed on few images; nothing is stored")
    parser.add_argument("--ground", choices=grounds, action="append", help="only this one, leaving the others' results")
    parser.add_argument("--seeds", type=int, default=3, help="pretrained networks, each with a D_f of its own")
    add_cache_option(parser)
    add_data_option(parser)
    return parser


def effort_of(given: argparse.Namespace, *, grounds: Sequence[str]) -> Effort:
    """What the command line asked for."""
    asked = given.ground or list(grounds)
    return Effort(
        quick=given.quick,
        grounds=asked[:1] if given.quick else asked,
        seeds=1 if given.quick else given.seeds,
        data=given.data,
        store=Store(given.cache),
    )
