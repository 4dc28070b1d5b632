"""What `benchmarks.search` leaves beside its JSON: a table for each kind, and a picture of what a search changes."""

import json
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.arena_tables import TICKS

COLOURS = {"default": "#D55E00", "found": "#0072B2"}  # Okabe and Ito: told apart by everybody
HEAD = ("", "default", "found", "gain (range)", "found values", "failed trials")
Row = Mapping[str, Any]
Rows = Mapping[str, Row]


def line(kind: str, name: str, row: Row) -> str:
    """What one method came to, for the terminal."""
    if "found" not in row:
        return f"{kind:8} {name:18} all trials failed: {row['why']}"
    searched, confirmed = row["searched"], row["confirmed"]
    return (
        f"{kind:8} {name:18} searched {_points([searched['default']])} -> {_points([searched['found']])}; "
        f"on other models {_points(confirmed['default'])} -> {_points(confirmed['found'])}, gain {_gain(row)}  "
        f"{_values(row)}"
    )


def tables(kinds: Mapping[str, Rows]) -> str:
    """A table for each kind, what gains most first, what failed last."""
    return "\n\n".join(f"**{kind}**{_nothing(rows)}\n\n{_table(rows)}" for kind, rows in kinds.items())


def plot(kinds: Mapping[str, Rows], path: Path) -> None:
    """From the default's gap to the found one's, a panel for each kind; without matplotlib nothing is drawn."""
    if not find_spec("matplotlib"):
        print("no plot: matplotlib is not installed")
        return
    figure = import_module("matplotlib.figure").Figure(figsize=(5.5 * len(kinds), 6), layout="constrained")
    for axes, (kind, rows) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds.items(), strict=True):
        shown = {
            name: [_mean(row["confirmed"][what]) for what in COLOURS]
            for name, row in by_gain(rows).items()
            if row.get("confirmed", {}).get("gain") is not None
        }
        for place, ends in enumerate(reversed(shown.values())):
            axes.plot(ends, [place, place], color="grey", linewidth=1, zorder=1)
        for number, (what, colour) in enumerate(COLOURS.items()):
            values = [ends[number] for ends in reversed(shown.values())]
            axes.scatter(values, range(len(values)), color=colour, label=what, s=22, zorder=2)
        if (nothing := _nothing_done(rows)) is not None:
            axes.axvline(nothing, linestyle="--", color="grey", label="nothing done")
        axes.set_yticks(range(len(shown)), list(reversed(shown)), fontsize=8)
        axes.set(title=kind, xlabel="gap to gold, points", xscale="log")
        limits = axes.axis()
        axes.minorticks_off()
        axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.axis(limits)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def by_gain(rows: Rows) -> dict[str, Row]:
    """What gains most on models that the search never saw first, what failed last."""

    def gain(item: tuple[str, Row]) -> float:
        found = item[1].get("confirmed", {}).get("gain")
        return float("-inf") if found is None else found

    return dict(sorted(rows.items(), key=gain, reverse=True))


def _table(rows: Rows) -> str:
    body = [(f"`{name}`", *_cells(row)) for name, row in by_gain(rows).items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEAD, ("---",) * len(HEAD), *body))


def _cells(row: Row) -> tuple[str, ...]:
    failed = f"{row['failed']} of {row['trials']}"
    if "found" not in row:
        return "", "", "", f"all trials failed: {row['why']}", failed
    gain = _gain(row)
    confirmed = row["confirmed"]
    shown = f"**{gain}**" if row["better"] else gain
    return _points(confirmed["default"]), _points(confirmed["found"]), shown, _values(row), failed


def _gain(row: Row) -> str:
    gain, bounds = row["confirmed"]["gain"], row["confirmed"]["range"]
    return "–" if gain is None else f"{100 * gain:.2f} ({100 * bounds[0]:.2f} to {100 * bounds[1]:.2f})"


def _values(row: Row) -> str:
    if row["found"] is None:
        return "the defaults"
    return json.dumps({name: _short(value) for name, value in row["found"].items()}).strip("{}").replace('"', "")


def _short(value: object) -> object:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _points(gaps: list[float | None]) -> str:
    """Their mean; `failed` where the method failed on a model."""
    found = _mean(gaps)
    return "failed" if found is None else f"{found:.2f}"


def _mean(gaps: list[float | None]) -> float | None:
    whole = [gap for gap in gaps if gap is not None]
    return 100 * mean(whole) if len(whole) == len(gaps) else None


def _nothing(rows: Rows) -> str:
    found = _nothing_done(rows)
    return "" if found is None else f"; nothing done: {found:.2f}"


def _nothing_done(rows: Rows) -> float | None:
    return next((_mean(row["confirmed"]["nothing"]) for row in rows.values() if "confirmed" in row), None)
