"""Figures of the findings: before, nothing done, after and gold side by side, for every set and every attack."""

from collections.abc import Sequence
from typing import Any

from matplotlib.patches import Patch

from app.domain.findings import Finding, to_be_told_apart
from worker.figures.kinds import Numbers, Plot
from worker.figures.style import COLOURS, INK, MODELS, NAMES, SETS, canvas, svg_of
from worker.intervals import wilson

BAR = 0.19
SHARES = {"attack_accuracy", "predicted_member", "efficacy"}
ATTACKS = {
    "attack_auc": "loss attack (area)",
    "attack_accuracy": "loss attack (right guesses)",
    "reference_auc": "attack with a reference model (area)",
    "predicted_member": "taken for training data",
}


def accuracies(findings: Sequence[Finding]) -> Plot | None:
    """How many answers are right on every set."""
    order = list(SETS)
    shown = sorted((f for f in findings if f.measure == "accuracy"), key=lambda f: order.index(f.on))
    rows = [{**_row(f, SETS.get(f.on, f.on)), "set": f.on} for f in shown]
    return _plot(
        "accuracy",
        "Right answers on every set",
        "How many of 100 answers are right. The whiskers are 95 % intervals: with so many samples, the true value lies"
        " within. The longer they are, the less the bar says.",
        rows,
    )


def attacks(findings: Sequence[Finding]) -> Plot | None:
    """How well attackers do."""
    shown = [f for f in findings if f.measure in ATTACKS]
    apart = to_be_told_apart((f.measure, f.attack_feature) for f in shown)
    rows = [_row(f, _attack(f) if f.measure in apart else ATTACKS[f.measure]) for f in shown]
    return _plot(
        "attacks",
        "What attackers find out",
        "An attacker guesses which samples were trained on. Areas and right guesses: 50 is guessing blindly, 100 is"
        " certainty. The whiskers are 95 % intervals, where they are known.",
        rows,
        chance=0.5,
    )


def _attack(finding: Finding) -> str:
    return f"{ATTACKS[finding.measure]}\n({str(finding.attack_feature).replace('_', ' ')} attack)"


def _row(finding: Finding, label: str) -> dict[str, Any]:
    gold = finding.gold.mean if finding.gold else None
    values = {"before": finding.before, "no_op": finding.no_op, "after": finding.after, "gold": gold}
    intervals: dict[str, Any] = {"after": list(finding.interval)}
    if finding.measure == "accuracy" or finding.measure in SHARES:
        known = {name: value for name, value in values.items() if value is not None and name != "after"}
        intervals |= {name: list(wilson(value, finding.n)) for name, value in known.items()}
    return {"label": label, "n": finding.n, "values": values, "intervals": intervals}


def _plot(name: str, title: str, caption: str, rows: list[dict[str, Any]], chance: float | None = None) -> Plot | None:
    if not rows:
        return None
    return Plot(name, title, caption, {"rows": rows, "chance": chance}, draw)


def draw(numbers: Numbers) -> bytes:
    """Horizontal bars, a group a row."""
    rows = numbers["rows"]
    models = [m for m in MODELS if any(row["values"][m] is not None for row in rows)]
    with canvas(0.9 + 0.22 * len(models) * len(rows)) as (axes,):
        for place, row in enumerate(rows):
            for number, model in enumerate(models):
                _bar(axes, place + (number - (len(models) - 1) / 2) * BAR, model, row)
        if numbers["chance"] is not None:
            axes.axvline(100 * numbers["chance"], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_yticks(range(len(rows)), [f"{row['label']}\n(n = {row['n']:,})" for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 112)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel("of 100")
        marks = [Patch(facecolor=COLOURS[m], edgecolor=INK, linewidth=0.6) for m in models]
        figure = axes.figure
        figure.legend(marks, [NAMES[m] for m in models], loc="outside upper center", ncols=len(models))
        return svg_of(axes)


def _bar(axes: Any, place: float, model: str, row: Any) -> None:
    value, interval = row["values"][model], row["intervals"].get(model)
    if value is None:
        return
    axes.barh(place, 100 * value, BAR * 0.92, color=COLOURS[model], edgecolor=INK, linewidth=0.6)
    end = value
    if interval is not None:
        low, high = interval
        axes.plot([100 * low, 100 * high], [place, place], color=INK, linewidth=1.1, solid_capstyle="butt")
        for edge in (low, high):
            axes.plot([100 * edge, 100 * edge], [place - 0.05, place + 0.05], color=INK, linewidth=1.1)
        end = max(value, high)
    axes.text(100 * end + 1, place, f"{100 * value:.1f}", va="center", fontsize=7.5, color=INK)
