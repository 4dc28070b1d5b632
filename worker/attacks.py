"""What every membership attack is built on: D_f and held-out samples with the same class mix, and their losses."""

from typing import NamedTuple

import numpy as np

from worker.intervals import Scores
from worker.numerics.answers import answers
from worker.numerics.draws import Draw, matched
from worker.numerics.outcome import Bench, Model
from worker.numerics.randomness import derived

HELD_OUT = {"class": "test_forget", "backdoor": "test_extra", "leakage": "test_extra"}
"""The held-out set that is most like D_f: of the forgotten class, or with the same information added; else `test`."""
TIMES = 10  # held-out samples for one of D_f, where there are so many: the area's error falls by a quarter and more
SMALLEST_LOSS = 1e-12  # nats: below, a confidence is 1 to float64's last digits and its logit infinite


class Sides(NamedTuple):
    """The losses of one model, in nats."""

    forgotten: Scores  # (n,)
    held_out: Scores  # (m,)


class Attack(NamedTuple):
    """Who is attacked: two draws, so that the no-op control has one of its own."""

    held_out: str  # the name of the set
    draw: Draw
    other_draw: Draw

    @property
    def n(self) -> int:
        """Forgotten samples."""
        return len(self.draw.members)

    @property
    def total(self) -> int:
        """Samples on both sides."""
        return len(self.draw.members) + len(self.draw.others)


def prepared(bench: Bench, name: str, *, times: int = 1) -> Attack | None:
    """Draws for the metric of this name; None where D_f or held-out samples of its classes are missing.

    Args:
        bench: models and sets.
        name: of the metric, so that each draws for itself.
        times: see `worker.numerics.draws.matched`.
    """
    held_out = HELD_OUT.get(bench.kind, "test")
    if "forget" not in bench.sets or held_out not in bench.sets:
        return None
    labels = bench.sets["forget"].labels, bench.sets[held_out].labels
    draw, other = (
        matched(*labels, seed=derived(bench.seed, name, control), times=times) for control in ("audit", "no-op")
    )
    return Attack(held_out, draw, other) if len(draw.members) > 1 else None


def losses(bench: Bench, model: Model, attack: Attack, *, control: bool = False) -> Sides:
    """−log p_y of every drawn sample under a model; of the no-op control's draw if asked."""
    draw = attack.other_draw if control else attack.draw
    forgotten, held_out = (answers(bench, model, name).loss for name in ("forget", attack.held_out))
    return Sides(forgotten[draw.members].numpy(), held_out[draw.others].numpy())


def logit(loss: Scores) -> Scores:
    """φ = log(p / (1 − p)) with p = e^(−ℓ), exact also where p is close to 1; any shape."""
    clipped = np.maximum(loss, SMALLEST_LOSS)
    return np.asarray(-clipped - np.log(-np.expm1(-clipped)))


def caveats(bench: Bench, attack: Attack) -> tuple[str, ...]:
    """What a reader of any such attack must know."""
    said, asked = [], len(bench.sets["forget"])
    if attack.n < asked:
        said.append(
            f"{asked - attack.n} of {asked} forgotten samples left out: too few held-out samples of their classes"
        )
    if attack.held_out == "test_extra":
        said.append("held-out samples were given the information by T")
    return tuple(said)
