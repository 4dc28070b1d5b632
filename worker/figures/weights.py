"""Figure of the weights: where in the network something was changed, and how much."""

from typing import Any

import numpy as np
import torch
from matplotlib.colors import LinearSegmentedColormap, LogNorm

from worker.figures.kinds import Numbers, Plot
from worker.figures.style import INK, canvas, plain_ticks, svg_of
from worker.numerics.outcome import Bench
from worker.numerics.weights import Weights

PIECES = 48
MOST = 40
LEAST, LARGEST = 1e-5, 1.0
SHADES = LinearSegmentedColormap.from_list("shades", ["#dbe9f6", "#4292c6", "#08306b"], N=24)


def change(bench: Bench) -> Plot | None:
    """Every layer, cut into equal pieces: how much each piece moved, relative to the layer's size.

    map_j = √(mean over piece j of (θ′ − θ)²) / √(mean over the layer of θ²)
    """
    layers = layers_of(bench.before.weights, bench.after.weights)
    if not layers:
        return None
    return Plot(
        "weights",
        "Where the network was changed",
        "One row a layer, cut into pieces from left to right; the darker, the more its weights moved, relative to their"
        " size. White did not move at all. On the right: how many of 100 weights differ from before.",
        {"layers": layers},
        draw,
    )


def layers_of(before: Weights, after: Weights) -> list[dict[str, Any]]:
    """The layers with the most weights, in the network's order."""
    names = [name for name, tensor in before.items() if tensor.is_floating_point() and tensor.numel()]
    largest = sorted(names, key=lambda name: -before[name].numel())[:MOST]
    layers: list[dict[str, Any]] = []
    for name in (name for name in names if name in largest):
        old, new = before[name].double().flatten(), after[name].double().flatten()
        moved = new - old
        size = float(old.square().mean().sqrt()) or 1.0
        pieces = torch.tensor_split(moved.square(), min(PIECES, len(moved)))
        layers.append(
            {
                "name": name,
                "weights": len(old),
                "changed": float((moved != 0).double().mean()),
                "relative": float(moved.norm() / (old.norm() if old.norm() > 0 else 1.0)),
                "map": [float(piece.mean().sqrt()) / size for piece in pieces],
            }
        )
    return layers


def draw(numbers: Numbers) -> bytes:
    """A strip a layer."""
    layers = numbers["layers"]
    with canvas(0.9 + 0.24 * len(layers)) as (axes,):
        norm = LogNorm(LEAST, LARGEST)
        for place, layer in enumerate(layers):
            values = np.array([layer["map"]])
            strip = np.ma.masked_where(values == 0, np.clip(values, LEAST, LARGEST))
            edges = np.linspace(0, 1, values.size + 1)
            image = axes.pcolormesh(edges, [place - 0.42, place + 0.42], strip, cmap=SHADES, norm=norm)
            axes.plot([0, 1, 1, 0, 0], place + np.array([0.42, 0.42, -0.42, -0.42, 0.42]), color=INK, linewidth=0.4)
            axes.text(1.015, place, f"{100 * layer['changed']:.0f} of 100", va="center", fontsize=7.5)
        labels = [f"{_short(layer['name'])}  ({layer['weights']:,})" for layer in layers]
        axes.set_yticks(range(len(layers)), labels, fontsize=7.5)
        axes.set(ylim=(len(layers) - 0.4, -0.6), xlim=(0, 1.14), xticks=[])
        axes.tick_params(axis="y", length=0)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        bar = axes.figure.colorbar(image, ax=axes, orientation="horizontal", fraction=0.05, pad=0.02, aspect=45)
        bar.set_label("change relative to the layer's size", fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
        plain_ticks(bar.ax.xaxis)
        return svg_of(axes)


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"…{name[-33:]}"
