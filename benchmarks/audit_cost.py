"""What does an audit cost beside the unlearning that it audits? Processor seconds of the demonstration's three jobs.

`python -m worker.demo` makes one classifier forget 100 samples, a class and a backdoor, each on what the one before
left. Here the same jobs run in this process, on one thread, without the service around them: the method as a job calls
it, with every Fisher diagonal that it computes; all default metrics, first without gold models, as is the default, then
with one, as in the demonstration (its training is nobody's audit and counts apart); the figures of the report.

`ratio` is the audit's seconds over the method's, mean and standard deviation over the seeds; the goal is at most 1.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from time import process_time
from typing import Any, NamedTuple, TypeVar

import torch
from pydantic import TypeAdapter
from torch import Tensor

from app.catalogue.unions import DEFAULT_METRICS, AnyMethod
from app.core.params import Kind, MethodParams
from app.methods.retrain import RetrainParams
from benchmarks.environment import environment
from benchmarks.fashion import add_data_option
from worker import demo, registry
from worker.demo import FORGOTTEN_CLASS, TRIGGER, TRIGGERED_CLASS, Story
from worker.demo_data import Pictures, digits
from worker.figures.draw import draw
from worker.numerics.examples import Examples, Normalisation, TensorExamples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.outcome import Bench, Finding, Model, Outcome
from worker.numerics.problem import Problem
from worker.numerics.run import Quiet
from worker.numerics.training import train
from worker.numerics.weights import Weights, network_with
from worker.reported import reported
from worker.run_job import load

RESULT = Path(__file__).parent / "results" / "audit_cost.json"
SEEDS = (1, 2, 3)
_METHOD: TypeAdapter[MethodParams] = TypeAdapter(AnyMethod)

T = TypeVar("T")


class Work(NamedTuple):
    """One of the three jobs."""

    name: str
    kind: Kind
    method: MethodParams
    problem: Problem
    sets: dict[str, Examples]


class Times(NamedTuple):
    """Processor seconds of one job."""

    method: float
    audit: float  # without gold models
    audit_with_gold: float
    figures: float
    metrics: dict[str, float]  # of `audit`


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on one thread, store, print one line a job, then the ratios as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--quick", action="store_true", help="the digits and one seed only; nothing is stored")
    options, began_in = parser.parse_args(arguments), environment()
    torch.set_num_threads(1)
    load()
    figures = {"digits": measured(demo.DIGITS, digits(), SEEDS[:1] if options.quick else SEEDS)}
    if not options.quick:
        figures["fashion_mnist"] = measured(demo.FASHION, demo.parquet(options.data / "fashion-mnist"), SEEDS)
        result = {"goal": 1.0, "seeds": list(SEEDS), **figures, "environment": began_in}
        RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({data: {name: job["ratio"] for name, job in jobs.items()} for data, jobs in figures.items()}))


def measured(story: Story, pictures: Pictures, seeds: Sequence[int]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds, by job."""
    runs = [list(jobs(story, demo.planted(pictures), seed)) for seed in seeds]
    return {same[0][0]: _summary([times for _, times in same]) for same in zip(*runs, strict=True)}


def jobs(story: Story, pictures: Pictures, seed: int) -> Iterator[tuple[str, Times]]:
    """The three jobs on one classifier, each on the result of the one before."""
    ground = Ground(story, pictures, seed)
    weights, gone = train(ground.build, story.recipe, ground.at(pictures.train), seed=seed), ground.nobody
    for name, kind, forget in wishes(pictures, seed):
        work = ground.work(name, kind, weights, forget=forget, gone=gone)
        outcome, times = timed(work)
        weights, gone = outcome.weights, gone | forget
        ratio, label = times.audit / times.method, work.method.model_dump()["name"]
        print(
            f"{name:9} seed {seed}: {label} {times.method:.2f} s, audit {times.audit:.2f} s ({ratio:.2f})", flush=True
        )
        yield name, times


def wishes(pictures: Pictures, seed: int) -> list[tuple[str, Kind, Tensor]]:
    """What is forgotten: masks `(N,)`."""
    drawn = torch.zeros_like(pictures.train)
    drawn[demo.drawn(pictures, seed)] = True
    of_class = pictures.train & (pictures.labels == FORGOTTEN_CLASS)
    triggered = pictures.train & (pictures.labels == TRIGGERED_CLASS)
    return [("samples", Kind.SAMPLES, drawn), ("class", Kind.CLASS, of_class), ("backdoor", Kind.BACKDOOR, triggered)]


class Ground:
    """The demonstration's data and network."""

    def __init__(self, story: Story, pictures: Pictures, seed: int) -> None:
        pixels = pictures.pixels[pictures.train].float() / 255
        self.normalisation = Normalisation((round(float(pixels.mean()), 4),), (round(float(pixels.std()), 4),))
        self.build = registry.builder(demo.architecture_of(story, pictures))
        self.nobody = torch.zeros_like(pictures.train)
        self.story, self.pictures, self.seed = story, pictures, seed

    def at(self, chosen: Tensor) -> TensorExamples:
        """The pictures of a mask."""
        rows = chosen.nonzero().flatten()
        return TensorExamples(self.pictures.pixels[rows], self.pictures.labels[rows], rows, self.normalisation)

    def work(self, name: str, kind: Kind, weights: Weights, *, forget: Tensor, gone: Tensor) -> Work:
        """As `worker.loading` makes it of a request."""
        story, train_set = self.story, self.pictures.train
        known = self.at(train_set & ~gone)
        method = {"samples": {"name": "deepclean"}, "class": story.class_method, "backdoor": story.backdoor_method}
        pattern_b = kind is Kind.BACKDOOR
        trigger = registry.transform(TRIGGER) if pattern_b else None
        d_f = self.at(forget)
        problem = Problem(
            build=self.build,
            old=weights,
            classes=10,
            pattern="B" if pattern_b else "A",
            seed=self.seed,
            forget=d_f,
            forget_clean=d_f.through(registry.removal(TRIGGER)) if pattern_b else None,
            retain=self.at(train_set & ~gone & ~forget),
            transform=trigger,
            fisher=fisher_diagonal(network_with(self.build, weights), known),
            initial=self.build(self.seed).state_dict(),
            recipe=story.recipe,
            forgotten_class=FORGOTTEN_CLASS if kind is Kind.CLASS else None,
        )
        return Work(name, kind, _METHOD.validate_python(method[name]), problem, self._sets(problem, kind))

    def _sets(self, problem: Problem, kind: Kind) -> dict[str, Examples]:
        of_class = self.pictures.labels == FORGOTTEN_CLASS
        held_out = ~self.pictures.train
        test = self.at(held_out if kind is Kind.SAMPLES else held_out & ~of_class)
        sets = {"retain": problem.retain, "forget": problem.forget, "forget_clean": problem.forget_clean, "test": test}
        if kind is Kind.CLASS:
            sets["test_forget"] = self.at(held_out & of_class)
        if problem.transform is not None and problem.retain is not None:
            sets["retain_extra"] = problem.retain.through(problem.transform)
            sets["test_extra"] = test.through(problem.transform)
        return {name: examples for name, examples in sets.items() if examples is not None}


def timed(work: Work) -> tuple[Outcome, Times]:
    """The parts of the job, one by one."""
    problem = work.problem
    outcome, method = seconds(lambda: registry.unlearn(problem, work.method))
    gold = Model(problem.build, registry.unlearn(problem, RetrainParams()).weights)
    alone, beside = bench(work, outcome.weights, ()), bench(work, outcome.weights, (gold,))
    findings, metrics = list[Finding](), dict[str, float]()
    for params in DEFAULT_METRICS:
        found, took = seconds(partial(registry.measure, alone, params()))
        findings, metrics[str(params.model_fields["name"].default)] = findings + found, took
    _, with_gold = seconds(lambda: [registry.measure(beside, params()) for params in DEFAULT_METRICS])
    judged = [reported(finding, seed=problem.seed) for finding in findings]
    with tempfile.TemporaryDirectory() as folder:
        _, figures = seconds(lambda: draw(alone, judged, Path(folder)))
    return outcome, Times(method, sum(metrics.values()), with_gold, figures, metrics)


def bench(work: Work, weights: Weights, golds: tuple[Model, ...]) -> Bench:
    """A bench whose models have answered nothing yet."""
    build, old = work.problem.build, work.problem.old
    models = Model(build, old), Model(build, weights), golds
    return Bench(*models, work.sets, work.kind.value, 10, work.problem.seed, Quiet(), work.problem.recipe)


def seconds(work: Callable[[], T]) -> tuple[T, float]:
    """What the work returns, and the processor seconds of this process that it took."""
    started = process_time()
    return work(), process_time() - started


def _summary(runs: Sequence[Times]) -> dict[str, Any]:
    def over(value: Callable[[Times], float]) -> dict[str, float]:
        values = [value(times) for times in runs]
        return {"mean": _short(mean(values)), "std": _short(stdev(values)) if len(values) > 1 else 0.0}

    return {
        "ratio": over(lambda times: times.audit / times.method),
        "ratio_with_one_gold": over(lambda times: times.audit_with_gold / times.method),
        "method_seconds": over(lambda times: times.method),
        "audit_seconds": over(lambda times: times.audit),
        "audit_seconds_with_one_gold": over(lambda times: times.audit_with_gold),
        "figure_seconds": over(lambda times: times.figures),
        "seconds_by_metric": {name: _short(mean(times.metrics[name] for times in runs)) for name in runs[0].metrics},
    }


def _short(value: float) -> float:
    return float(f"{value:.3g}")


if __name__ == "__main__":
    main()
