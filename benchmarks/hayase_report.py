"""What `benchmarks.hayase` leaves beside its JSON: tables with the paper's figures, and its Figure 4 with ours."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SETS = {"D_r": "D_r", "D_f": "D_f", "D_f_clean": "D_f,clean", "D_r_extra": "D_r,extra"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito: told apart by everybody
NAMES = {
    "A": "Fashion-MNIST, ten-layer perceptron, a class",
    "tile": "Fashion-MNIST, ten-layer perceptron, tile",
    "line": "Fashion-MNIST, ten-layer perceptron, line",
    "cnn": "Fashion-MNIST, small CNN, tile",
    "cnn_line": "Fashion-MNIST, small CNN, line",
    "cifar10_cnn": "CIFAR-10, small CNN, tile",
}
Figures = Mapping[str, Any]


def tables(result: Figures) -> str:
    """A table for each part, and each pattern of it: mean ± std and the number of pretrained networks."""
    return "\n\n".join(
        f"**{NAMES[part]}{f', pattern {pattern}' if pattern else ''}**\n\n{_table(result, part, pattern, rows)}"
        for part, pattern, rows in panels(result)
    )


def plot(result: Figures, path: Path) -> None:
    """Bars as in the paper's Figure 4, a panel for each table; without matplotlib (`bench` extra) nothing is drawn."""
    if not find_spec("matplotlib"):
        print("no plot: matplotlib is not installed")
        return
    shown = list(panels(result))
    figure = import_module("matplotlib.figure").Figure(figsize=(11, 3.2 * len(shown)), layout="constrained")
    for axes, (part, pattern, rows) in zip(figure.subplots(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        sets = [key for key in SETS if key in next(iter(rows.values()))]
        for number, key in enumerate(sets):
            places = [place + (number - (len(sets) - 1) / 2) * 0.2 for place in range(len(rows))]
            values, errors = ([row[key][what] for row in rows.values()] for what in ("mean", "std"))
            axes.bar(places, values, 0.18, yerr=errors, color=COLOURS[number], label=SETS[key], capsize=2)
        axes.set_xticks(range(len(rows)), [name.replace("_", "\n") for name in rows], fontsize=8)
        axes.set(
            title=NAMES[part] + (f", pattern {pattern}" if pattern else ""), ylabel="test accuracy", ylim=(0, 1.15)
        )
        axes.legend(fontsize=7, ncols=len(sets), loc="upper right")
    figure.savefig(path, dpi=90)


def panels(result: Figures) -> Iterator[tuple[str, str, Figures]]:
    """Part, pattern (of a part that has two) and rows by method, in the order of `NAMES`, what was before first."""
    found = {**result.get("fashion_mnist", {}), **result.get("cifar10", {})}
    for part in NAMES:
        if part == "A" and part in found:
            yield part, "", _ordered(found[part])
        elif part in found:
            yield from ((part, pattern, _ordered(rows)) for pattern, rows in found[part].items())


def _ordered(rows: Figures) -> Figures:
    """Rows that were measured later than others come after them; the deployed model and retraining go before all."""
    return {name: rows[name] for name in sorted(rows, key=lambda name: (name != "pretrained", name != "retrain"))}


def _table(result: Figures, part: str, pattern: str, rows: Figures) -> str:
    sets = [key for key in SETS if key in next(iter(rows.values()))]
    head = ["", *(SETS[key] for key in sets), "n"]
    body = [
        [name, *(f"{row[key]['mean']:.3f} ± {row[key]['std']:.3f}" for key in sets), str(row[sets[0]]["n"])]
        for name, row in rows.items()
    ]
    theirs = [_theirs(result, part, pattern, name, sets) for name in rows]
    if any(theirs):
        head.append(f"{'the paper' if part == 'A' else 'elsewhere'}: {', '.join(SETS[key] for key in sets)}")
        body = [[*cells, other] for cells, other in zip(body, theirs, strict=True)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def _theirs(result: Figures, part: str, pattern: str, name: str, sets: list[str]) -> str:
    """What the paper reports, for A; what another implementation reached, which `known` in the JSON has."""
    if part == "A":
        reported = result["paper"]["A"].get("rld" if name == "rld_paper" else name, {})
        figures = [reported.get(key) for key in sets] if reported and name != "rld" else []
    else:
        known = result["known"].get(part, {})
        figures = known.get(f"{pattern}.{name}", known.get(name, []))
    return ", ".join("–" if value is None else f"{value:.3f}" for value in figures)
