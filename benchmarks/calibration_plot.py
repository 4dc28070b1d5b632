"""The figures of `benchmarks.calibration` as one picture."""

from pathlib import Path
from typing import Any

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#999999"  # Okabe and Ito: told apart by everybody


def draw(document: dict[str, Any], path: Path) -> None:
    """Left: verdicts by size of D_f. Middle and right: how often each attack finds the no-op."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - only `bench` installs it

    plots, axes = plt.subplots(1, 3, figsize=(13, 4), constrained_layout=True)
    _verdicts(axes[0], document["sizes"])
    for axis, (name, found) in zip(axes[1:], document["finding_a_no_op"].items(), strict=True):
        _attacks(axis, name, found)
    plots.savefig(path, dpi=110)
    plt.close(plots)


def _verdicts(axis: Any, sizes: dict[str, Any]) -> None:
    lines = {
        "no-op: trace found": ("noop_found_rate", BLUE, "o"),
        "retrained: trace found": ("gold_accused_rate", ORANGE, "X"),
        "retrained: pass": ("gold_pass_rate", GREEN, "s"),
        "retrained: inconclusive": ("inconclusive_rate", GREY, "^"),
    }
    n = [int(size) for size in sizes]
    for label, (key, colour, marker) in lines.items():
        axis.plot(n, [100 * sizes[size][key] for size in sizes], color=colour, marker=marker, label=label)
    for size in sizes:
        if sizes[size]["decidable"]:
            axis.axvspan(int(size) / 1.25, int(size) * 1.25, color=GREEN, alpha=0.08, lw=0)
    _dressed(axis, "Verdicts (shaded: decidable by calculation)", "% of runs")


def _attacks(axis: Any, name: str, found: dict[str, Any]) -> None:
    for (attack, rates), colour, marker in zip(found.items(), (GREY, BLUE, ORANGE), "^os", strict=True):
        n = [int(size) for size in rates["rates"]]
        label = attack.replace("_", " ")
        axis.plot(n, [100 * share for share in rates["rates"].values()], color=colour, marker=marker, label=label)
    axis.axhline(95, color="black", lw=0.7, ls=":")
    _dressed(axis, f"No-op found by one attack alone ({name})", "% of runs")


def _dressed(axis: Any, title: str, label: str) -> None:
    axis.set(title=title, xscale="log", xlabel="forgotten samples", ylabel=label, ylim=(-3, 103))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
