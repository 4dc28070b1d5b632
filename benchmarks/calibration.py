"""Are the verdicts right? Models of which it is known whether they saw D_f, audited as the service audits.

Each run draws its own D and D_f and trains with seeds of its own, on a network that overfits: the no-op is the model
trained on D; the retraining, and the gold model it is compared with, are two models trained on D without D_f.

`sizes.{n}` has how often the no-op is *trace found*, the retraining *trace found*, *pass* or *inconclusive*, and
whether the power calculation says that a verdict is possible; `without_gold` the same where held-out data take gold's
place.
`finding_a_no_op` has from which n on an attack by itself finds the no-op in 95 % of the runs; `interval_coverage` how
often 95 % intervals hold a truth that is known because the cases are made up.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch.nn.functional import avg_pool2d

from app.architectures.mlp import MlpParams
from app.core.params import Kind, MetricParams
from app.domain.findings import Finding
from app.domain.verdict import decidable, judge, verdict
from app.metrics.accuracy import AccuracyParams
from app.metrics.mia import MiaParams
from app.metrics.mia_reference import MiaReferenceParams
from benchmarks.calibration_coverage import coverage
from benchmarks.calibration_plot import draw
from benchmarks.environment import environment
from benchmarks.fashion import add_data_option, read
from worker import registry
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.outcome import Bench, Model
from worker.numerics.randomness import derived
from worker.numerics.recipe import Recipe
from worker.numerics.run import Quiet
from worker.numerics.training import train
from worker.reported import reported

RESULT = Path(__file__).parent / "results" / "calibration.json"
SIZES = (20, 100, 341, 1000)
GRID = (20, 35, 50, 70, 100, 150, 200, 341, 500, 1000)
TRAIN, HELD_OUT = 3000, 5000
BUILD = registry.builder(MlpParams(input_shape=(1, 14, 14), classes=10, layers=2, width=160))
OVERFITTED = Recipe(learning_rate=0.2, epochs=40, batch_size=256)
WEAK = replace(OVERFITTED, epochs=12)
AUDIT: tuple[MetricParams, ...] = (AccuracyParams(), MiaParams(), MiaReferenceParams())
ATTACKS: dict[str, tuple[MetricParams, str]] = {
    "loss": (MiaParams(), "attack_auc"),
    "reference_gold": (MiaReferenceParams(), "reference_auc"),
    "reference_half_data": (MiaReferenceParams(references="half_data"), "reference_auc"),
}
Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print: one line a run, then the figures as one line of JSON."""
    options, began_in = _options(arguments), environment()  # now: the commit may move while this runs
    count = 2 if options.quick else options.runs
    figures = gathered(sorted(all_runs(options, count), key=lambda run: int(run["run"])))
    figures |= {"interval_coverage": (found := coverage(200 if options.quick else 4000))["all"], "coverage": found}
    figures |= {"runs": count}
    print(json.dumps(figures))
    if not options.quick:
        settings = {"train": TRAIN, "held_out": HELD_OUT, "overfitted": vars(OVERFITTED), "weak": vars(WEAK)}
        document = {"claim": __doc__, **figures, "settings": settings, "environment": began_in}
        RESULT.write_text(json.dumps(document, indent=1) + "\n")
        draw(document, RESULT.with_suffix(".png"))


def all_runs(options: argparse.Namespace, count: int) -> list[Figures]:
    """Every run, those that are kept already as they were."""
    kept = options.keep.read_text().splitlines() if options.keep and options.keep.exists() else []
    runs = [json.loads(line) for line in kept]
    todo = sorted(set(range(count)) - {run["run"] for run in runs})
    if not todo:
        return runs
    images = as_trained_on(read(options.data / "fashion-mnist", every=1).train)
    with get_context("fork").Pool(options.processes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for run in pool.imap_unordered(partial(measured, images, quick=options.quick), todo):
            runs.append(run)
            print(f"run {run['run']}: {json.dumps(verdicts_of(run['findings']))}", flush=True)
            if options.keep:
                with options.keep.open("a") as file:
                    file.write(json.dumps(run) + "\n")
    return runs


def as_trained_on(images: Examples) -> Examples:
    """The images as the network sees them, decoded once and halved in height and width, for speed."""
    raw = torch.cat([batch.inputs for batch in images.batches(10_000)])
    return TensorExamples(avg_pool2d(raw, 2), images.labels, images.positions)


def measured(images: Examples, run: int, *, quick: bool = False) -> Figures:
    """The findings of one run: every size on the overfitted network, and the attacks by themselves on both."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(derived(run, "draw")))
    data, held_out = images.at(order[:TRAIN]), images.at(order[TRAIN : TRAIN + HELD_OUT])
    before = trained(OVERFITTED, data, run, "before")
    findings: Figures = {}
    for n in (100, 1000) if quick else SIZES:
        kept, forgotten = parted(data, n, derived(run, "D_f", n))
        retrained, gold = (trained(OVERFITTED, kept, run, f"{name} {n}") for name in ("retrained", "gold"))
        sets = {"retain": kept, "forget": forgotten, "test": held_out}
        bench = Bench(before, before, (gold,), sets, "samples", 10, run, Quiet(), OVERFITTED)
        findings[str(n)] = {
            "gold": {"no_op": audited(bench), "retrained": audited(replaced(bench, after=retrained))},
            "none": {
                "no_op": audited(replaced(bench, golds=())),
                "retrained": audited(replaced(bench, after=retrained, golds=())),
            },
        }
    found = {"overfitted": attacks(replaced(bench, recipe=OVERFITTED), n)}
    kept, forgotten = parted(data, n, derived(run, "D_f", n))
    weak, gold = (trained(WEAK, part, run, name) for name, part in (("weak", data), ("weak gold", kept)))
    sets = {"retain": kept, "forget": forgotten, "test": held_out}
    found["weak"] = attacks(Bench(weak, weak, (gold,), sets, "samples", 10, run, Quiet(), WEAK), n)
    return {"run": run, "findings": findings, "attacks": found}


def trained(recipe: Recipe, data: Examples, run: int, name: str) -> Model:
    """A model with a seed of its own."""
    return Model(BUILD, train(BUILD, recipe, data, seed=derived(run, name)))


def parted(data: Examples, n: int, seed: int) -> tuple[Examples, Examples]:
    """D_r and D_f of n samples, drawn at random."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data.at(order[n:]), data.at(order[:n])


def replaced(bench: Bench, **changes: Any) -> Bench:
    """Another bench; what was asked of this one is not carried over."""
    return replace(bench, asked={}, trained={}, **changes)


def audited(bench: Bench) -> list[Figures]:
    """The service's measurements, as they would stand in a report before they are judged."""
    measures = chain.from_iterable(registry.measure(bench, metric) for metric in AUDIT)
    return [reported(finding, seed=bench.seed).model_dump() for finding in measures]


def attacks(bench: Bench, most: int) -> Figures:
    """What each attack by itself measures of the no-op with the first n samples of D_f, for growing n."""
    found: Figures = {name: {} for name in ATTACKS}
    for n in (n for n in GRID if n <= most):
        some = {**bench.sets, "forget": bench.sets["forget"].at(torch.arange(n))}
        for name, (metric, measure) in ATTACKS.items():
            asked = {key: answers for key, answers in bench.asked.items() if key[1] == "test"}
            smaller = replace(bench, asked=asked, sets=some, golds=() if name == "loss" else bench.golds)
            measures = registry.measure(smaller, metric)  # references stay: they saw none of D_f
            (finding,) = (f for f in measures if f.measure == measure)
            found[name][str(n)] = reported(finding, seed=bench.seed).model_dump()
            bench.asked.update(smaller.asked)
    return found


def concluded(findings: Sequence[Figures]) -> Figures:
    """The service's judgement of one audit."""
    judged = judge(Kind.SAMPLES, [Finding.model_validate(finding) for finding in findings])
    claims = [finding for finding in judged if finding.outcome != "not_judged"]
    return {
        "verdict": verdict(Kind.SAMPLES, judged, changes_weights=True),
        "decidable": decidable(Kind.SAMPLES, judged),
        "claims": {f"{f.measure} {f.on}": f.outcome for f in claims},
        "needed": {f"{f.measure} {f.on}": f.needed for f in claims},
        "values": {f"{f.measure} {f.on}": round(f.after, 4) for f in judged},
    }


def refuted(finding: Figures) -> bool:
    """Whether the claim about this finding, as the only one, is not so."""
    (judged,) = judge(Kind.SAMPLES, [Finding.model_validate(finding)])
    return judged.outcome == "fail"


def verdicts_of(findings: Figures) -> Figures:
    """The verdicts of a run, by size, gold and model."""
    return {
        n: {gold: {whose: concluded(found)["verdict"] for whose, found in pair.items()} for gold, pair in both.items()}
        for n, both in findings.items()
    }


def gathered(runs: Sequence[Figures]) -> Figures:
    """Rates over the runs."""
    sizes = list(runs[0]["findings"])

    def audits(n: str, gold: str) -> list[Figures]:
        return [{who: concluded(found) for who, found in run["findings"][n][gold].items()} for run in runs]

    def detected(name: str, attack: str) -> Figures:
        return detection([{n: refuted(f) for n, f in run["attacks"][name][attack].items()} for run in runs])

    return {
        "sizes": {n: rates(audits(n, "gold")) for n in sizes},
        "without_gold": {n: rates(audits(n, "none")) for n in sizes},
        "finding_a_no_op": {
            name: {attack: detected(name, attack) for attack in ATTACKS} for name in ("overfitted", "weak")
        },
        "details": [{"run": run["run"], "verdicts": verdicts_of(run["findings"])} for run in runs],
    }


def rates(audits: Sequence[Figures]) -> Figures:
    """How often each verdict was reached, and from how many samples on one is possible by calculation."""

    def share(whose: str, result: str) -> float:
        return round(float(mean(audit[whose]["verdict"] == result for audit in audits)), 4)

    return {
        "noop_found_rate": share("no_op", "trace_found"),
        "noop_pass_rate": share("no_op", "pass"),
        "noop_inconclusive_rate": share("no_op", "inconclusive"),
        "gold_accused_rate": share("retrained", "trace_found"),
        "gold_pass_rate": share("retrained", "pass"),
        "inconclusive_rate": share("retrained", "inconclusive"),
        "decidable": mean(_decidable(audits)) > 0.5,
        "decidable_rate": round(mean(_decidable(audits)), 4),
        "needed": {claim: median(_needed(audits, claim)) for claim in audits[0]["retrained"]["needed"]},
    }


def detection(found: Sequence[Figures]) -> Figures:
    """The rate at every n, and the smallest n from which on it is at least 95 %; null: at none of them."""
    rate = {n: round(mean(run[n] for run in found), 4) for n in found[0]}
    enough = [n for n in rate if all(share >= 0.95 for m, share in rate.items() if int(m) >= int(n))]
    return {"rates": rate, "from": int(enough[0]) if enough else None}


def _decidable(audits: Sequence[Figures]) -> list[bool]:
    return [bool(audit["retrained"]["decidable"]) for audit in audits]


def _needed(audits: Sequence[Figures], claim: str) -> Iterator[float]:
    for audit in audits:
        yield audit["retrained"]["needed"][claim] or float("inf")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two runs, two sizes; nothing is stored")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument(
        "--keep", type=Path, help="a file to keep every run's findings in; runs that it has are not done again"
    )
    add_data_option(parser)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
