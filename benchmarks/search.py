"""Are the methods' defaults near what a search would find? Searched on validation data, confirmed on other models.

Small networks that remember some thousand images of Fashion-MNIST forget a class, or random samples. The search goes
by the gap to gold of two rehearsals (`worker.rehearsal`): two pretrained networks, each with a gold and a validation
part of its own. What it finds is compared with the defaults on three further rehearsals that it never saw. The test
split is not read.

`{class,samples}.{method}`: `searched` holds the mean gap of the two rehearsals, `confirmed` the gaps of the three
others, with mean and range of the gain, default minus found; `better` says that the found parameters were nearer to
gold on every one of them. `--kind` measures one kind anew and leaves the other, each with the environment it was
measured in.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from app.core.params import Kind, MethodParams
from app.domain.objective import Objective
from app.methods.deepclean import DeepCleanParams
from app.methods.finetune import FinetuneParams
from app.methods.sparse import SparseParams
from app.methods.ssd import SsdParams
from benchmarks.arena_data import GROUNDS, read
from benchmarks.environment import environment
from benchmarks.fashion import FORGOTTEN, add_data_option
from worker import registry
from worker.numerics.examples import Examples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.problem import Problem
from worker.numerics.splits import hold_out
from worker.numerics.weights import network_with, weights_of
from worker.rehearsal import Rehearsal, Scored, rehearsals
from worker.study import Candidate, Trial, best, search

RESULT = Path(__file__).parent / "results" / "search.json"
METHODS: tuple[type[MethodParams], ...] = (DeepCleanParams, FinetuneParams, SparseParams, SsdParams)
KINDS = (Kind.CLASS, Kind.SAMPLES)
SEARCHED, CONFIRMED = (0, 1), (2, 3, 4)
SAMPLES = 3_000
FRACTION = 0.1
"""Of the samples, where random ones are forgotten."""
HELD_OUT = 0.2
TRIALS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, confirm, print one line a method, then all of it as one line of JSON; store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--quick", action="store_true", help="three trials, one rehearsal each; nothing is stored")
    parser.add_argument("--kind", type=Kind, choices=KINDS, help="only this one")
    options, began_in = parser.parse_args(arguments), environment()
    data = read(options.data, GROUNDS["fashion_cnn"]).train.at(torch.arange(SAMPLES))
    for kind in [options.kind] if options.kind else KINDS:
        figures = measured(data, kind, quick=options.quick)
        print(json.dumps({kind.value: figures}))
        if not options.quick:
            store(kind, figures, began_in)


def measured(data: Examples, kind: Kind, *, quick: bool) -> dict[str, Any]:
    """All methods, compared and printed."""
    searched, confirmed, trials = (SEARCHED[:1], CONFIRMED[:1], 3) if quick else (SEARCHED, CONFIRMED, TRIALS)
    first, second = ([rehearsal(data, kind, seed) for seed in seeds] for seeds in (searched, confirmed))
    figures = {}
    for method in METHODS:
        figures[_name(method)] = compared(method, first, second, trials)
        print(line(kind, method, figures[_name(method)]), flush=True)
    return figures


def store(kind: Kind, figures: dict[str, Any], began_in: dict[str, str | int]) -> None:
    """Beside what is stored of the other kind."""
    stored = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    stored[kind.value] = {**figures, "trials": TRIALS, "environment": began_in}
    RESULT.write_text(json.dumps(stored, indent=2, sort_keys=True) + "\n")


def compared(
    method: type[MethodParams], first: Sequence[Rehearsal], second: Sequence[Rehearsal], trials: int
) -> dict[str, Any]:
    """The default parameters and the best ones that a search finds, on its rehearsals and on those it never saw."""
    made = list(_searched(method, first, trials))
    found = best(made, "minimize")
    if found is None:
        return {"failed": len(made)}
    default = _gaps(method(), second)
    chosen = _gaps(method.model_validate(found.method), second)
    gains = [d - c for d, c in zip(default, chosen, strict=True)]
    return {
        "found": found.searched,
        "searched": {"default": made[0].value, "found": found.value},
        "confirmed": {"default": default, "found": chosen, "gain": mean(gains), "range": [min(gains), max(gains)]},
        "better": found.searched is not None and min(gains) > 0,
        "failed": sum(trial.value is None for trial in made),
    }


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


def line(kind: Kind, method: type[MethodParams], figures: dict[str, Any]) -> str:
    """Gaps in points."""
    if "found" not in figures:
        return f"{kind.value:8} {_name(method):10} all trials failed"
    searched, confirmed = figures["searched"], figures["confirmed"]
    given = "failed" if searched["default"] is None else f"{100 * searched['default']:.2f}"
    low, high = confirmed["range"]
    return (
        f"{kind.value:8} {_name(method):10} searched {given} -> {100 * searched['found']:.2f}; "
        f"on other models {100 * mean(confirmed['default']):.2f} -> {100 * mean(confirmed['found']):.2f}, "
        f"gain {100 * confirmed['gain']:.2f} ({100 * low:.2f} to {100 * high:.2f})  {json.dumps(figures['found'])}"
    )


def _searched(method: type[MethodParams], on: Sequence[Rehearsal], trials: int) -> Iterator[Trial]:
    def evaluate(params: MethodParams, _: int) -> list[Scored]:
        return [_score(one, params) for one in on]

    return search([Candidate(method(), method.space)], evaluate, total=trials, direction="minimize", seed=0)


def _gaps(params: MethodParams, on: Sequence[Rehearsal]) -> list[float]:
    return [_score(one, params).value for one in on]


def _score(one: Rehearsal, params: MethodParams) -> Scored:
    return one.score(registry.unlearn(one.problem, params))


def _one_part(labels: torch.Tensor, seed: int) -> list[torch.Tensor]:
    return [hold_out(labels, HELD_OUT, seed=seed)]


def _name(method: type[MethodParams]) -> str:
    return str(method.model_fields["name"].default)


if __name__ == "__main__":
    main()
