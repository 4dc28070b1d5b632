"""What many models of one kind answer: they are made one after another, asked, and thrown away."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from worker.attacks import logit
from worker.numerics.answers import Answers, answered
from worker.numerics.outcome import Bench, Model
from worker.numerics.run import Checkpoint, Run, Turn

KEPT = "retain", "test"
"""Where accuracy is asked for."""


class Crowd(NamedTuple):
    """The answers of N models."""

    confidence: NDArray[np.float64]  # φ = log(p_y / (1 − p_y)) on D_f, `(N, n)`
    accuracy: Mapping[str, float]  # mean over the models, by the name of the set


def crowd(bench: Bench, make: Callable[[int, Run], Model], count: int, *, name: str, run: Run) -> Crowd:
    """Make the models 1..count and ask each; one that was asked before the job was killed is not made again.

    Args:
        bench: its sets.
        make: the number of a model, and a run, to the model.
        count: N.
        name: of their kind, unique within the run.
        run: where their answers are kept.
    """

    def asked(number: int) -> Checkpoint:
        kept = run.saved(f"{name}_{number}")
        if kept is not None:
            return kept
        run.progress(name, number - 1, count, "models")
        turn = Turn(run, name, number)
        model = make(number, turn)
        found = summary({on: answered(model, bench.sets[on], turn) for on in ("forget", *KEPT)})
        run.save(f"{name}_{number}", found)
        return found

    return gathered([asked(number) for number in range(1, count + 1)])


def alone(answers: Mapping[str, Answers], count: int) -> Crowd:
    """A single model, counted so many times."""
    return gathered([summary(answers)] * count)


def summary(answers: Mapping[str, Answers]) -> Checkpoint:
    """What a crowd keeps of one model's answers on D_f and on `KEPT`."""
    confidence = torch.from_numpy(logit(answers["forget"].loss.numpy()))
    return {"confidence": confidence}, {on: float(answers[on].right.double().mean()) for on in KEPT}


def gathered(asked: list[Checkpoint]) -> Crowd:
    """The crowd of which each model was asked."""
    confidence = np.stack([tensors["confidence"].numpy() for tensors, _ in asked])
    return Crowd(confidence, {on: float(np.mean([float(facts[on]) for _, facts in asked])) for on in KEPT})
