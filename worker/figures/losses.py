"""Figures of the losses: how they are spread over forgotten, kept and held-out samples, and what attacks make of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import roc_curve

from worker.attacks import HELD_OUT, TIMES, Sides, losses, prepared
from worker.estimates import roc_area
from worker.figures.kinds import Numbers, Plot
from worker.figures.style import COLOURS, INK, LINES, NAMES, canvas, in_order, plain_ticks, svg_of
from worker.intervals import Scores
from worker.metrics.mia_reference import difference
from worker.numerics.answers import answers
from worker.numerics.outcome import Bench, Model

BINS = 24
POINTS = 400
LEAST_LOSS = 1e-6
SPREAD = {
    "forget": "to be forgotten",
    "retain": "kept",
    "test": "held out",
    "test_forget": "held out, same class",
    "test_extra": "held out, same feature",
}
_HELD_OUT = {"color": "#d55e00", "linewidth": 1.3, "linestyle": (0, (1, 1.2))}
STYLES: Mapping[str, Mapping[str, Any]] = {
    "forget": {"color": "#0072b2", "linewidth": 1.8, "linestyle": "-"},
    "retain": {"color": "#8c8c8c", "linewidth": 1.3, "linestyle": (0, (5, 2))},
    "test": _HELD_OUT,
    "test_forget": _HELD_OUT,
    "test_extra": _HELD_OUT,
}


def models_of(bench: Bench) -> dict[str, Model]:
    """Before, after, and the first gold model."""
    return {"before": bench.before, "after": bench.after, **({"gold": bench.golds[0]} if bench.golds else {})}


def histograms(bench: Bench) -> Plot | None:
    """The losses of D_f, D_r and the held-out data that are most like D_f, before and after."""
    wanted = "forget", "retain", HELD_OUT.get(bench.kind, "test")
    names = [name for name in wanted if name in bench.sets and len(bench.sets[name])]
    if "forget" not in names:
        return None
    spread = {
        model: {name: np.maximum(answers(bench, weights, name).loss.numpy(), LEAST_LOSS) for name in names}
        for model, weights in models_of(bench).items()
    }
    largest = max(values.max() for sets in spread.values() for values in sets.values())
    edges = np.geomspace(LEAST_LOSS, max(float(largest), 10 * LEAST_LOSS), BINS + 1)
    edges[-1] *= 1 + 1e-9  # the largest loss belongs to the last bin, whatever rounding says
    counts = {
        model: {name: np.histogram(values, edges)[0].tolist() for name, values in sets.items()}
        for model, sets in spread.items()
    }
    return Plot(
        "losses",
        "How sure the model is of the right answer",
        "The loss measures how unsure the model is of the right answer: left is sure, right is wrong. Where the line of"
        " the forgotten samples runs like that of the held-out ones, they look like samples that were never seen.",
        {"edges": edges.tolist(), "counts": counts, "least": LEAST_LOSS},
        draw_histograms,
    )


def draw_histograms(numbers: Numbers) -> bytes:
    """One panel a model; shares of each set, so that sets of different sizes compare."""
    edges = np.array(numbers["edges"])
    with canvas(2.7, len(numbers["counts"])) as panels:
        top = 0.0
        for axes, (model, sets) in zip(panels, in_order(numbers["counts"]), strict=True):
            for name, counts in ((name, sets[name]) for name in SPREAD if name in sets):
                shares = 100 * np.array(counts) / sum(counts)
                top = max(top, shares.max())
                axes.stairs(shares, edges, label=f"{SPREAD[name]} (n = {sum(counts):,})", **STYLES[name])
            axes.set_xscale("log")
            axes.set_xticks([tick for tick in (1e-6, 1e-3, 1, 1e3) if tick <= edges[-1]])
            plain_ticks(axes.xaxis)
            axes.set_title(NAMES[model])
            axes.set_xlabel("loss, in nats")
        for axes in panels:
            axes.set_ylim(0, 1.05 * top)
        panels[0].set_ylabel("of 100 samples")
        handles, labels = panels[0].get_legend_handles_labels()
        panels[0].figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
        return svg_of(panels[0])


def rocs(bench: Bench) -> Plot | None:
    """What the loss attack finds at every threshold, before and after and with a gold model."""
    attack = prepared(bench, "mia")  # the samples of the finding, so that the areas are the same
    if attack is None:
        return None
    curves = {name: _curve(*losses(bench, model, attack)) for name, model in models_of(bench).items()}
    return Plot(
        "roc",
        "How well an attacker can tell who was in the training data",
        "An attacker calls samples with a small loss training data. Up: forgotten samples found; right: unseen samples"
        " wrongly accused. On the dashed diagonal the attacker guesses. The right panel shows the same for attackers"
        " who seldom accuse wrongly, on logarithmic axes.",
        {"forgotten": attack.n, "held_out": attack.total - attack.n, "curves": curves},
        draw_rocs,
    )


def reference_rocs(bench: Bench) -> Plot | None:
    """What the attack finds that is calibrated with gold models; of these, each is attacked with the help of others."""
    attack = prepared(bench, "mia_reference", times=TIMES)
    if attack is None or not bench.golds:
        return None

    def scores(model: Model) -> Sides | None:
        calm = [losses(bench, gold, attack) for gold in bench.golds if gold is not model]
        return difference(losses(bench, model, attack), calm) if calm else None

    found = {name: scores(model) for name, model in models_of(bench).items()}
    curves = {name: _curve(-sides.forgotten, -sides.held_out) for name, sides in found.items() if sides is not None}
    return Plot(
        "roc_reference",
        "How well the attacker does with the help of a model that never saw the data",
        "The same, but samples are called training data where their loss is smaller than under a model that was"
        " retrained without them: what makes a sample easy for every model gives nothing away.",
        {"forgotten": attack.n, "held_out": attack.total - attack.n, "curves": curves},
        draw_rocs,
    )


def _curve(forgotten: Scores, held_out: Scores) -> dict[str, Any]:
    scores = -np.concatenate([forgotten, held_out])
    sides = np.repeat([1, 0], [len(forgotten), len(held_out)])
    false, true, _ = roc_curve(sides, scores, drop_intermediate=True)
    if len(false) > POINTS:
        kept = np.unique(np.concatenate([np.arange(60), np.linspace(0, len(false) - 1, POINTS - 60).astype(int)]))
        false, true = false[kept], true[kept]
    area = roc_area(-forgotten, -held_out)
    return {"false_positives": false.tolist(), "true_positives": true.tolist(), "area": area.value, "error": area.error}


def draw_rocs(numbers: Numbers) -> bytes:
    """Linear axes beside logarithmic ones."""
    least = 0.5 / max(numbers["held_out"], numbers["forgotten"])
    with canvas(3.6, 2) as (linear, logarithmic):
        for axes in (linear, logarithmic):
            axes.plot([least, 1], [least, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            for name, curve in in_order(numbers["curves"]):
                label = f"{NAMES[name]}: area {100 * curve['area']:.1f} ± {196 * curve['error']:.1f}"
                x, y = curve["false_positives"], curve["true_positives"]
                axes.step(x, y, where="post", color=COLOURS[name], linestyle=LINES[name], linewidth=1.6, label=label)
            axes.set_xlabel("wrongly accused, share")
            axes.set_aspect("equal")
        linear.set(xlim=(0, 1), ylim=(0, 1), ylabel="forgotten samples found, share")
        logarithmic.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1))
        plain_ticks(logarithmic.xaxis)
        plain_ticks(logarithmic.yaxis)
        handles, labels = linear.get_legend_handles_labels()
        linear.figure.legend(handles, labels, loc="outside upper center", ncols=1 if len(labels) > 2 else 2)
        return svg_of(linear)
