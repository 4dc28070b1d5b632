"""Models that attacks are calibrated with: ones that never saw D_f, or shadow models of which half saw a sample."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from worker.attacks import Attack
from worker.numerics.concatenation import concatenated
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


class Shadows(NamedTuple):
    """Models, and who saw what: `(models, N)` bool by the name of the set."""

    models: tuple[Model, ...]
    inside: Mapping[str, NDArray[np.bool_]]

    def drawn(self, attack: Attack, *, control: bool) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Who saw the drawn samples of D_f, and the drawn held-out ones."""
        draw = attack.other_draw if control else attack.draw
        forgotten, held_out = (self.inside[name] for name in ("forget", attack.held_out))
        return forgotten[:, draw.members.numpy()], held_out[:, draw.others.numpy()]


def shadows(bench: Bench, count: int, held_out: str) -> Shadows | None:
    """Shadow models trained by the recipe in complementary pairs; None without a recipe or D_r.

    Each pair cuts D_f, D_r and the held-out set, taken together, into two random halves and trains on one each: of
    `count` models, half saw any given sample. Held-out samples take part as D_f does, so that to a model that saw
    neither both are the same. The models answer this audit and are thrown away. Trained once for all metrics.
    """
    names = "forget", "retain", held_out
    if bench.recipe is None or not set(names) <= bench.sets.keys():
        return None
    pool = concatenated(*(bench.sets[name] for name in names))
    halves = [half for pair in range(count // 2) for half in _halves(len(pool), derived(bench.seed, "shadows", pair))]
    made = bench.trained.get("shadows", ())
    for number in range(len(made), count):
        run, seed = Part(bench.run, f"shadow_{number + 1}"), derived(bench.seed, "shadow", number)
        chosen = halves[number].nonzero().flatten()
        weights = train(bench.before.build, bench.recipe, pool.at(chosen), seed=seed, run=run, phase="train")
        made = (*made, Model(bench.before.build, weights))
    bench.trained["shadows"] = made
    parts = torch.split(torch.stack(halves), [len(bench.sets[name]) for name in names], dim=1)
    return Shadows(made[:count], {name: part.numpy() for name, part in zip(names, parts, strict=True)})


def _halves(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    half = torch.zeros(n, dtype=torch.bool)
    half[torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: n // 2]] = True
    return half, ~half
