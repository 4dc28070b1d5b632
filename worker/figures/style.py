"""How every figure looks: sober, printable in grey, and readable whatever colours the reader can tell apart."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

T = TypeVar("T")

MODELS = ("before", "no_op", "after", "gold")
NAMES = {"before": "before", "no_op": "nothing done", "after": "after", "gold": "never saw it (gold)"}
COLOURS = {"before": "#8c8c8c", "no_op": "#ffffff", "after": "#0072b2", "gold": "#f0b040"}
"""Blue and orange as Okabe and Ito chose them, grey and white: four levels of grey in print, too."""
LINES = {"before": (0, (5, 2)), "after": "-", "gold": (0, (1, 1.2))}
SETS = {
    "forget": "to be forgotten",
    "forget_clean": "the same without the feature",
    "retain": "kept",
    "retain_extra": "kept, with the feature added",
    "test": "held out",
    "test_forget": "held out, of the forgotten class",
    "test_extra": "held out, with the feature added",
}
INK, PALE = "#222222", "#d9d9d9"
WIDTH = 7.0  # inches

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "legend.frameon": False,
    "svg.fonttype": "path",  # no font is needed to read it
    "svg.hashsalt": "unlearnd",  # the same numbers, the same file
    "text.parse_math": False,  # a class may be called $x$
}


@contextmanager
def canvas(height: float, columns: int = 1, *, ratios: tuple[float, ...] | None = None) -> Iterator[list[Axes]]:
    """Axes side by side on a figure of that height in inches; `svg_of` any of them writes it."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(1, columns, squeeze=False, width_ratios=ratios)
        yield list(axes[0])


def in_order(by_model: Mapping[str, T]) -> Iterator[tuple[str, T]]:
    """Model by model, however the mapping is ordered: numbers that were read back have their names sorted."""
    return ((model, by_model[model]) for model in MODELS if model in by_model)


def plain_ticks(axis: Axis) -> None:
    """0.001 instead of 10⁻³, on a logarithmic axis."""

    def plain(value: float, _: int) -> str:
        return np.format_float_positional(value, precision=6, fractional=False, trim="-")  # 10⁻⁵ is not 0.00000999…

    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_locator(NullLocator())  # hundreds of ticks that nobody reads take half the time of a drawing


def svg_of(axes: Axes) -> bytes:
    """The figure as an SVG file: the same numbers give the same bytes. Called within `canvas`."""
    buffer = io.BytesIO()
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("these axes stand in no figure")
    engine = figure.get_layout_engine()
    if engine is not None:  # at once: `savefig` would draw everything twice to get there
        engine.execute(figure)
        figure.set_layout_engine("none")
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
