"""What many rounds of unlearning come to: means with 95 % intervals, a Markdown table, a picture."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy.stats import t

COLUMNS = ("acc_df", "acc_dr", "acc_test", "mia", "gap", "delta_auc", "tow", "seconds", "speedup_over_gold")
TITLES = {
    "acc_df": "acc D_f",
    "acc_dr": "acc D_r",
    "acc_test": "acc test",
    "mia": "MIA",
    "delta_acc_df": "ΔAcc D_f",
    "delta_mia": "ΔMIA",
    "gap": "gap",
    "delta_auc": "ΔAUC",
    "tow": "ToW",
    "seconds": "s",
    "speedup_over_gold": "× gold",
    "selected_fraction": "selected",
    "gamma": "γ",
}
TICKS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200]
SPARSE_TICKS = [0.1, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000]  # where they span more than `TICKS`
Row = Mapping[str, Any]
Rows = Mapping[str, Row]


def gathered(rows: Sequence[Row]) -> dict[str, Any]:
    """Mean, standard deviation, number and 95 % interval over the rounds; what failed."""
    failed = [row["failed"] for row in rows if "failed" in row]
    whole = [row for row in rows if "failed" not in row]
    figures: dict[str, Any] = {key: spread([row[key] for row in whole]) for key in (whole[0] if whole else {})}
    return figures | ({"failed": failed} if failed else {})


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation and n; with n > 1 half the width of Student's 95 % interval of the mean."""
    n = len(values)
    deviation = stdev(values) if n > 1 else 0.0
    half = {"ci95": round(float(t.ppf(0.975, n - 1)) * deviation / sqrt(n), 4)} if n > 1 else {}
    return {"mean": round(mean(values), 4), "std": round(deviation, 4), "n": n, **half}


def markdown(rows: Rows, columns: Sequence[str] = COLUMNS, *, width: str = "std") -> str:
    """A table with a line for each method, sorted as given; mean ± `std` or `ci95`."""
    head = ["", *(TITLES[column] for column in columns)]
    body = [[name, *(_cell(row, column, width) for column in columns)] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def by_gap(rows: Rows) -> dict[str, Row]:
    """The nearest to gold first, failures last."""
    return dict(sorted(rows.items(), key=lambda item: item[1].get("gap", {"mean": float("inf")})["mean"]))


def plot(panels: Mapping[str, Rows], path: Path, *, width: str = "std") -> None:
    """Gap against cost, a panel for each set of rows; without matplotlib (`bench` extra) nothing is drawn."""
    if not find_spec("matplotlib"):
        print("no plot: matplotlib is not installed")
        return
    figure = import_module("matplotlib.figure").Figure(figsize=(5.5 * len(panels), 5), layout="constrained")
    for axes, (title, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, row in rows.items():
            if "speedup_over_gold" not in row:
                continue
            x, y = row["speedup_over_gold"]["mean"], row["gap"]["mean"]
            axes.errorbar(x, y, yerr=row["gap"].get(width, 0.0), fmt="o", capsize=2)
            axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
        for name, style in (("no_op", "--"), ("gold_gold", ":")):
            if name in rows:
                axes.axhline(rows[name]["gap"]["mean"], linestyle=style, color="grey", label=name)
        axes.set(title=title, xlabel="times faster than gold", ylabel="gap to gold, points", xscale="log", yscale="log")
        limits = axes.axis()
        across = TICKS if limits[1] < 10 * TICKS[-1] else SPARSE_TICKS
        axes.minorticks_off()
        axes.set_xticks(across, [f"{tick:,}" for tick in across])
        axes.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
        axes.axis(limits)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def _cell(row: Row, column: str, width: str) -> str:
    if "failed" in row and column == COLUMNS[0]:
        return str(row["failed"][0]).split(":", 1)[0]
    if column not in row:
        return ""
    value, off = row[column]["mean"], row[column].get(width, 0.0)
    digits = 3 if column == "selected_fraction" else 1 if column in {"seconds", "speedup_over_gold"} else 2
    return (
        f"{value:.{digits}f}" if column in {"seconds", "selected_fraction"} else f"{value:.{digits}f}±{off:.{digits}f}"
    )
