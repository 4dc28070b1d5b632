"""Are the methods' defaults near what a search would find? Searched on validation data, confirmed on other models.

Small networks that remember some thousand images of Fashion-MNIST forget a class, or random samples, by every method of
the catalogue that declares where to look. The search goes by the gap to gold of two rehearsals (`worker.rehearsal`):
two pretrained networks, each with a gold and a validation part of its own. What it finds is compared with the defaults
on three further rehearsals that it never saw. The test split is not read.

`kinds.{class,samples}.{method}`: `searched` holds the mean gap of the two rehearsals, `confirmed` the gaps of the three
others, with mean and range of the gain, default minus found; `better` says that the found parameters were nearer to
gold on every one of them. Gaps are shares; tables and picture show points. A search knows nothing of cost: what it
finds may take more epochs. `--kind` and `--method` measure some anew and leave the others, each with the environment it
was measured in; a run that is cut short keeps the methods that were over.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import torch

from app.catalogue.unions import METHODS
from app.core.params import Kind, MethodParams, Need
from app.domain.objective import Objective
from benchmarks.arena_data import GROUNDS, read
from benchmarks.environment import environment
from benchmarks.fashion import FORGOTTEN, add_data_option
from benchmarks.search_report import line, plot, tables
from worker import registry
from worker.numerics.errors import NumericsError
from worker.numerics.examples import Examples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem
from worker.numerics.splits import hold_out
from worker.numerics.weights import network_with, weights_of
from worker.rehearsal import Rehearsal, Scored, rehearsals
from worker.study import Candidate, Trial, best, search

RESULTS = Path(__file__).parent / "results"
KINDS = (Kind.CLASS, Kind.SAMPLES)
HAD = frozenset({Need.FORGET, Need.RETAIN, Need.FISHER, Need.INITIAL_WEIGHTS, Need.RECIPE})
"""What a rehearsal has."""
SEARCHED, CONFIRMED = (0, 1), (2, 3, 4)
SAMPLES = 3_000
FRACTION = 0.1
"""Of the samples, where random ones are forgotten."""
HELD_OUT = 0.2
TRIALS, QUICK_TRIALS = 18, 2
"""The first is the default, and Optuna draws the next ten at random: a dozen would hardly search. More than these take
more than 50 minutes of one core for both kinds."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, confirm, store and print one method after the other."""
    offered = sorted({name_of(method) for kind in KINDS for method in methods(kind)})
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    add_data_option(parser)
    parser.add_argument("--quick", action="store_true", help="two trials, one rehearsal each; nothing is stored")
    parser.add_argument("--kind", type=Kind, choices=KINDS, help="only this one, leaving the other's results")
    parser.add_argument("--method", nargs="+", choices=offered, help="only these, leaving the others' results")
    options, began_in = parser.parse_args(arguments), environment()
    data = read(options.data, GROUNDS["fashion_cnn"]).train.at(torch.arange(SAMPLES))
    for kind in [options.kind] if options.kind else KINDS:
        asked = [method for method in methods(kind) if not options.method or name_of(method) in options.method]
        for name, row in measured(data, kind, asked, quick=options.quick):
            print(line(kind.value, name, row), f"{row['seconds']:.0f} s", flush=True)
            if not options.quick:
                store(kind, name, {**row, "environment": began_in})
    if not options.quick:
        draw()


def methods(kind: Kind) -> list[type[MethodParams]]:
    """All of the catalogue that serve the kind, have something to search for and need nothing that is not here."""
    return [method for method in METHODS if kind in method.serves and method.space and method().needs(kind) <= HAD]


def measured(
    data: Examples, kind: Kind, asked: Sequence[type[MethodParams]], *, quick: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every method by its name, as soon as it was compared; says what all that costs in full."""
    searched, confirmed, trials = (
        (SEARCHED[:1], CONFIRMED[:1], QUICK_TRIALS) if quick else (SEARCHED, CONFIRMED, TRIALS)
    )
    began = process_time()
    first, second = ([rehearsal(data, kind, seed) for seed in seeds] for seeds in (searched, confirmed))
    print(f"{kind.value:8} {len(first) + len(second)} rehearsals: {process_time() - began:.0f} s", flush=True)
    full = (process_time() - began) / (len(first) + len(second)) * len(SEARCHED + CONFIRMED)
    for method in asked:
        before = process_time()
        row = compared(method, first, second, trials)
        seconds = process_time() - before
        full += seconds * runs(len(SEARCHED), len(CONFIRMED), TRIALS) / runs(len(first), len(second), trials)
        yield name_of(method), {**row, "seconds": round(seconds, 1)}
    print(f"{kind.value:8} {process_time() - began:.0f} processor seconds; in full about {full:.0f}", flush=True)


def runs(searched: int, confirmed: int, trials: int) -> int:
    """How often a method is carried out: every trial on every rehearsal, then the default and what was found."""
    return trials * searched + 2 * confirmed


def store(kind: Kind, name: str, row: dict[str, Any]) -> None:
    """Beside what is stored of other methods and the other kind."""
    kinds = stored()
    kinds[kind.value] = {**kinds.get(kind.value, {}), name: row}
    document = {"claim": __doc__, "kinds": kinds}
    (RESULTS / "search.json").write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    (RESULTS / "search.md").write_text(tables(kinds) + "\n")


def stored() -> dict[str, Any]:
    """Rows by kind and method."""
    path = RESULTS / "search.json"
    return json.loads(path.read_text())["kinds"] if path.exists() else {}


def draw() -> None:
    """The picture of all that is stored."""
    plot(stored(), RESULTS / "search.png")


def compared(
    method: type[MethodParams], first: Sequence[Rehearsal], second: Sequence[Rehearsal], trials: int
) -> dict[str, Any]:
    """The default parameters and the best ones that a search finds, on its rehearsals and on those it never saw."""
    made = list(_searched(method, first, trials))
    reasons = sorted({f"{trial.code}: {trial.detail}" for trial in made if trial.value is None})
    failed = {"trials": trials, "failed": sum(trial.value is None for trial in made), "why": "; ".join(reasons[:3])}
    found = best(made, "minimize")
    if found is None:
        return failed
    default = gaps(method(), second)
    chosen = default if found.searched is None else gaps(method.model_validate(found.method), second)
    confirmed = gained(default, chosen)
    return {
        **failed,
        "found": found.searched,
        "searched": {"default": made[0].value, "found": found.value},
        "confirmed": {"nothing": [one.score(Outcome(one.problem.old)).value for one in second], **confirmed},
        "better": found.searched is not None and confirmed["range"] is not None and confirmed["range"][0] > 0,
    }


def gained(default: Sequence[float | None], found: Sequence[float | None]) -> dict[str, Any]:
    """Both, with mean and range of default minus found; these are None unless both were carried out everywhere."""
    pairs = [(d, f) for d, f in zip(default, found, strict=True) if d is not None and f is not None]
    gains = [d - f for d, f in pairs] if len(pairs) == len(default) else []
    whole = {"gain": mean(gains), "range": [min(gains), max(gains)]} if gains else {"gain": None, "range": None}
    return {"default": list(default), "found": list(found), **whole}


def gaps(params: MethodParams, on: Sequence[Rehearsal]) -> list[float | None]:
    """Of each rehearsal; None where the method fails."""
    found: list[float | None] = []
    for one in on:
        try:
            found.append(_score(one, params).value)
        except NumericsError:
            found.append(None)
    return found


def rehearsal(data: Examples, kind: Kind, seed: int) -> Rehearsal:
    """A network, a gold and a validation part of the seed's own."""
    ground = GROUNDS["fashion_cnn"]
    build = registry.builder(ground.network)
    chosen = data.labels == FORGOTTEN
    if kind is Kind.SAMPLES:
        chosen = torch.rand(len(data), generator=torch.Generator().manual_seed(seed)) < FRACTION
    old = weights_of(build(seed))
    problem = Problem(
        build=build,
        old=old,
        classes=ground.network.classes,
        pattern="A",
        seed=seed,
        forget=data.where(chosen),
        retain=data.where(~chosen),
        fisher=fisher_diagonal(network_with(build, old), data.at(torch.arange(2))),  # a rehearsal takes its own
        recipe=ground.recipe,
        forgotten_class=FORGOTTEN if kind is Kind.CLASS else None,
    )
    return rehearsals(problem, kind, Objective.GAP_TO_GOLD, _one_part)[0]


def _searched(method: type[MethodParams], on: Sequence[Rehearsal], trials: int) -> Iterator[Trial]:
    def evaluate(params: MethodParams, _: int) -> list[Scored]:
        return [_score(one, params) for one in on]

    return search([Candidate(method(), method.space)], evaluate, total=trials, direction="minimize", seed=0)


def _score(one: Rehearsal, params: MethodParams) -> Scored:
    return one.score(registry.unlearn(one.problem, params))


def _one_part(labels: torch.Tensor, seed: int) -> list[torch.Tensor]:
    return [hold_out(labels, HELD_OUT, seed=seed)]


def name_of(method: type[MethodParams]) -> str:
    """As the catalogue calls it."""
    return str(method.model_fields["name"].default)


if __name__ == "__main__":
    main()
