"""Models that never saw D_f, which attacks are calibrated with: gold models, or models trained on half of D_r."""

from typing import Literal

import torch

from worker.numerics.outcome import Bench, Model
from worker.numerics.randomness import derived
from worker.numerics.run import Part
from worker.numerics.training import train

Source = Literal["gold", "half_data"]


def references(bench: Bench, source: Source, count: int) -> tuple[Model, ...]:
    """Reference models; empty where there are none and none can be trained.

    `gold` takes the bench's gold models, all of them. `half_data` trains `count` models by the recipe, each on a random
    half of D_r: for half the price of a gold model, and without a sample of D_f, so that D_f and held-out data are
    equally new to it. Trained once for all metrics of a bench.
    """
    if source == "gold":
        return bench.golds
    retain, recipe = bench.sets.get("retain"), bench.recipe
    if retain is None or recipe is None or len(retain) < 2:
        return ()
    made = bench.trained.get(source, ())
    for number in range(len(made), count):
        seed = derived(bench.seed, source, number)
        half = torch.randperm(len(retain), generator=torch.Generator().manual_seed(seed))[: len(retain) // 2]
        run = Part(bench.run, f"{source}_{number + 1}")
        weights = train(bench.before.build, recipe, retain.at(half), seed=seed, run=run, phase="train")
        made = (*made, Model(bench.before.build, weights))
    bench.trained[source] = made
    return made[:count]
