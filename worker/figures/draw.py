"""All figures of one report: drawn, written beside their numbers, and bound by their digests."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import rfc8785
import torch

from app.domain.findings import Finding
from app.domain.report import Figure
from worker.figures import bars, classes, losses, weights
from worker.figures.kinds import Plot
from worker.numerics.outcome import Bench
from worker.numerics.randomness import derived

MOST_SAMPLES = 3000  # of a set: more change no line, and a report must not cost more than the job


def draw(bench: Bench, findings: Sequence[Finding], folder: Path) -> list[Figure]:
    """Draw what this audit can show into the folder: `<name>.svg`, and its numbers as canonical JSON in `<name>.json`.

    Args:
        bench: what was audited; larger sets are drawn from.
        findings: of the same audit.
        folder: made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = list(_plots(_small(bench), findings))
    drawn = []
    for number, plot in enumerate(plots):
        bench.run.progress("draw", number, len(plots), "figures")
        drawn.append(_written(plot, folder))
    return drawn


def _plots(bench: Bench, findings: Sequence[Finding]) -> Iterator[Plot]:
    made = [
        bars.accuracies(findings),
        bars.attacks(findings),
        losses.rocs(bench),
        losses.reference_rocs(bench),
        losses.histograms(bench),
    ]
    answered = classes.predictions(bench)
    if answered is not None:
        labels, guesses = answered
        made += [
            classes.by_class(labels, guesses, bench.classes),
            classes.confusion(labels, guesses, bench.classes),
        ]
    made.append(weights.change(bench))
    return (plot for plot in made if plot is not None)


def _written(plot: Plot, folder: Path) -> Figure:
    numbers = rfc8785.dumps(dict(plot.numbers))
    svg = plot.draw(json.loads(numbers))
    (folder / f"{plot.name}.svg").write_bytes(svg)
    (folder / f"{plot.name}.json").write_bytes(numbers)
    return Figure(
        name=plot.name,
        title=plot.title,
        caption=plot.caption,
        svg_sha256=hashlib.sha256(svg).hexdigest(),
        data_sha256=hashlib.sha256(numbers).hexdigest(),
    )


def _small(bench: Bench) -> Bench:
    sets = {}
    for name, examples in bench.sets.items():
        generator = torch.Generator().manual_seed(derived(bench.seed, "figures", name))
        chosen = torch.randperm(len(examples), generator=generator)[:MOST_SAMPLES]
        sets[name] = examples if len(examples) <= MOST_SAMPLES else examples.at(chosen)
    return replace(bench, sets=sets, asked={}, trained={})
