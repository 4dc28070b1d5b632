"""Many models: asked one after another, and after a kill only those that were not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests.worker.metrics.conftest import make_bench, model
from worker.crowd import alone, crowd
from worker.numerics.answers import answers
from worker.numerics.outcome import Bench, Model
from worker.numerics.run import Checkpoint, Quiet, Run, Turn

__all__ = ["make_bench"]

SETS = {"forget": [(0.5, 1), (-2.0, 1)], "retain": [(1.0, 1), (1.0, 0)], "test": [(3.0, 1)]}


class Kept(Quiet):
    """A run whose checkpoints outlive it."""

    def __init__(self) -> None:
        super().__init__()
        self.checkpoints: dict[str, Checkpoint] = {}

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        self.checkpoints[name] = checkpoint

    def saved(self, name: str) -> Checkpoint | None:
        return self.checkpoints.get(name)


def test_the_confidences_are_log_odds_and_the_accuracies_means(make_bench: Callable[..., Bench]) -> None:
    found = crowd(make_bench(SETS), lambda number, _: model(float(number)), 2, name="made", run=Quiet())
    assert found.confidence == pytest.approx(np.array([[0.5, -2.0], [1.0, -4.0]]), abs=1e-6)  # scale times the logit
    assert found.accuracy == {"retain": 0.5, "test": 1.0}


def test_a_model_alone_is_counted_as_often_as_asked(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(SETS)
    found = alone({on: answers(bench, bench.before, on) for on in SETS}, 3)
    assert found.confidence == pytest.approx(np.array([[0.5, -2.0]] * 3), abs=1e-6)


def test_models_that_were_asked_before_a_kill_are_not_made_again(make_bench: Callable[..., Bench]) -> None:
    run, made = Kept(), list[int]()

    def make(number: int, _: Run) -> Model:
        made.append(number)
        if made == [1, 2, 3]:
            raise KeyboardInterrupt
        return model(number / 7)

    with pytest.raises(KeyboardInterrupt):
        crowd(make_bench(SETS), make, 4, name="made", run=run)
    found = crowd(make_bench(SETS), make, 4, name="made", run=run)
    assert made == [1, 2, 3, 3, 4]
    undisturbed = crowd(make_bench(SETS), lambda number, _: model(number / 7), 4, name="made", run=Quiet())
    assert (found.confidence == undisturbed.confidence).all()
    assert found.accuracy == undisturbed.accuracy


def test_a_turn_finds_its_own_checkpoint_only_and_leaves_one_file_for_all() -> None:
    run = Kept()
    Turn(run, "made", 1).save("train", ({"w": torch.ones(1)}, {"done": 3}))
    assert Turn(run, "made", 2).saved("train") is None
    again = Turn(run, "made", 1).saved("train")
    assert again is not None
    assert again[1]["done"] == 3
    Turn(run, "made", 2).save("train", ({"w": torch.zeros(1)}, {"done": 1}))
    assert list(run.checkpoints) == ["made.train"]
    assert Turn(run, "made", 1).saved("train") is None
    Turn(run, "made", 2).note("fraction", 0.5)
    assert run.notes == {}
