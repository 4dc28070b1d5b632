"""Figures by class: how often each is answered rightly, and what it is taken for."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from worker.figures.kinds import Numbers, Plot
from worker.figures.losses import models_of
from worker.figures.style import COLOURS, INK, NAMES, canvas, in_order, svg_of
from worker.intervals import wilson
from worker.numerics import evaluation
from worker.numerics.outcome import Bench

MOST = 30  # classes: with more, nobody reads the figure
MARKS = {"before": "s", "after": "o", "gold": "D"}


def predictions(bench: Bench) -> tuple[Tensor, dict[str, Tensor]] | None:
    """Labels `(n,)` of all held-out samples, and each model's answers; None without them or with too many classes."""
    names = [name for name in ("test", "test_forget") if name in bench.sets and len(bench.sets[name])]
    if not names or bench.classes > MOST:
        return None
    answered = {
        model: torch.cat([evaluation.logits(weights, bench.sets[name], run=bench.run).argmax(1) for name in names])
        for model, weights in models_of(bench).items()
    }
    return torch.cat([bench.sets[name].labels for name in names]), answered


def by_class(labels: Tensor, answered: dict[str, Tensor], classes: int) -> Plot:
    """The accuracy on held-out samples of every class."""
    rows: list[dict[str, Any]] = []
    for label in range(classes):
        chosen = labels == label
        n = int(chosen.sum())
        if n:
            shares = {model: float((guess[chosen] == label).double().mean()) for model, guess in answered.items()}
            rows.append({"class": label, "n": n, "values": shares, "interval": list(wilson(shares["after"], n))})
    return Plot(
        "classes",
        "Right answers by class, on held-out samples",
        "One column a class. The line through the dot is the 95 % interval of the model after the job. A class whose"
        " dot lies far under its square was damaged on the way, or was to be forgotten.",
        {"rows": rows},
        draw_by_class,
    )


def draw_by_class(numbers: Numbers) -> bytes:
    """Marks over the classes."""
    rows = numbers["rows"]
    models = [model for model, _ in in_order(rows[0]["values"])]
    with canvas(2.7) as (axes,):
        for place, row in enumerate(rows):
            axes.plot([place, place], [100 * edge for edge in row["interval"]], color=COLOURS["after"], linewidth=1.2)
        for shift, model in zip((-0.18, 0.0, 0.18), models, strict=False):
            axes.plot(
                [place + shift for place in range(len(rows))],
                [100 * row["values"][model] for row in rows],
                MARKS[model],
                color=COLOURS[model],
                markeredgecolor=INK,
                markeredgewidth=0.6,
                markersize=6,
                label=NAMES[model],
            )
        axes.set_xticks(range(len(rows)), [f"{row['class']}\n({row['n']})" for row in rows])
        axes.set(ylim=(-4, 104), xlim=(-0.6, len(rows) - 0.4), ylabel="right of 100", xlabel="class (samples)")
        axes.figure.legend(loc="outside upper center", ncols=len(models))
        return svg_of(axes)


def confusion(labels: Tensor, answered: dict[str, Tensor], classes: int) -> Plot:
    """What every class is taken for, before and after."""
    counts = {
        model: torch.bincount(labels * classes + answered[model], minlength=classes**2).view(classes, classes).tolist()
        for model in ("before", "after")
    }
    return Plot(
        "confusion",
        "What every class is taken for, on held-out samples",
        "A row is a class, a column an answer; the darker, the more often. Right answers lie on the diagonal. A"
        " forgotten class shows as a row whose answers have moved elsewhere.",
        {"counts": counts, "classes": classes},
        draw_confusion,
    )


def draw_confusion(numbers: Numbers) -> bytes:
    """Shares of each row as grey, the number where there is room."""
    classes = numbers["classes"]
    with canvas(3.9, 2) as panels:
        for axes, (model, counts) in zip(panels, in_order(numbers["counts"]), strict=True):
            table = np.array(counts, dtype=float)
            shares = 100 * table / np.maximum(table.sum(1, keepdims=True), 1)
            axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=100, edgecolors="white", linewidth=0.4)
            for row, column in zip(*np.nonzero(shares >= 1), strict=True):
                if classes <= 12:
                    colour = "white" if shares[row, column] > 55 else INK
                    text = f"{shares[row, column]:.0f}"
                    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color=colour)
            axes.set(title=f"{NAMES[model]}, of 100", xlabel="answered", aspect="equal", ylim=(classes, 0))
            ticks = range(0, classes, 1 if classes <= 12 else 5)
            places = [tick + 0.5 for tick in ticks]
            axes.set_xticks(places, [str(tick) for tick in ticks])
            axes.set_yticks(places, [str(tick) for tick in ticks])
            axes.tick_params(length=0)
        panels[0].set_ylabel("class")
        return svg_of(panels[0])
