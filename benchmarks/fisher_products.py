"""What squaring costs on a CPU: Σₙ (gₙᵀaₙ)² by torch and by the kernel, in units of the products alone. One thread.

`products.{name}` has the medians over interleaved rounds; the shapes are those of the networks of `benchmarks.fisher`.
For convolutions the products are those with patches that are unfolded already, and torch and the kernel start from the
images.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import unfold

from benchmarks.environment import environment
from worker.numerics.fisher import fused_cpu
from worker.numerics.fisher.formulas import Convolution, Formula, Product

RESULT = Path(__file__).parent / "results" / "fisher_products.json"
THREE = Convolution((1, 1), (1, 1), (1, 1))
ROUNDS = 40


class Layer(NamedTuple):
    """A layer as a batch meets it."""

    formula: Formula
    a: tuple[int, ...]  # what goes in, samples first
    g: tuple[int, ...]  # what comes out
    weight: tuple[int, ...]


LAYERS = {
    "vit: 192 to 576, 65 positions": Layer(Product(), (16, 65, 192), (16, 65, 576), (576, 192)),
    "vit: 192 to 768, 65 positions": Layer(Product(), (16, 65, 192), (16, 65, 768), (768, 192)),
    "resnet18: 64 to 64, 32 × 32": Layer(THREE, (12, 64, 32, 32), (12, 64, 32, 32), (64, 64, 3, 3)),
    "resnet18: 128 to 128, 16 × 16": Layer(THREE, (12, 128, 16, 16), (12, 128, 16, 16), (128, 128, 3, 3)),
    "resnet18: 256 to 256, 8 × 8": Layer(THREE, (12, 256, 8, 8), (12, 256, 8, 8), (256, 256, 3, 3)),
    "resnet18: 512 to 512, 4 × 4": Layer(THREE, (12, 512, 4, 4), (12, 512, 4, 4), (512, 512, 3, 3)),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fisher_products", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two rounds of two layers; nothing is stored")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = {}
    for name, layer in list(LAYERS.items())[:: 5 if options.quick else 1]:
        found[name] = measured(layer, rounds=2 if options.quick else ROUNDS)
        print(f"{name:32} {found[name]}", flush=True)
    if not options.quick:
        result = {"claim": __doc__, "products": found, "environment": environment()}
        RESULT.write_text(json.dumps(result, indent=1) + "\n")


def measured(layer: Layer, *, rounds: int) -> dict[str, float]:
    """Milliseconds of the products alone; torch and the kernel in units of them."""
    drawn = torch.Generator().manual_seed(0)
    a, g = torch.randn(layer.a, generator=drawn), torch.randn(layer.g, generator=drawn)
    out, kernel = torch.zeros(layer.weight), fused_cpu.kernel()

    def squared(by: fused_cpu.Kernel | None) -> None:
        with fused_cpu.used(by):
            layer.formula.add_squares(a.unsqueeze(1), g.unsqueeze(1), out)

    ways: dict[str, Callable[[], None]] = {
        "products": products_of(layer, a, g),
        "torch": lambda: squared(None),
        "kernel": lambda: squared(kernel),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            started = perf_counter()
            way()
            seconds[name].append(perf_counter() - started)
    alone = median(seconds.pop("products"))
    ratios = {name: round(median(found) / alone, 3) for name, found in seconds.items()}
    return {"products_ms": round(1000 * alone, 3), **ratios}


def products_of(layer: Layer, a: Tensor, g: Tensor) -> Callable[[], None]:
    """gₙᵀaₙ of every sample, into the same memory."""
    if len(layer.weight) > 2:
        a, g = unfold(a, layer.weight[2:], padding=1).mT, g.flatten(2).mT
    memory = torch.empty(g.shape[2], a.shape[2])

    def run() -> None:
        for g_n, a_n in zip(g, a, strict=True):
            torch.mm(g_n.T, a_n, out=memory)

    return run


if __name__ == "__main__":
    main()
