"""Metric `mia_reference`: what is hard for every model cancels; who never saw D_f is the yardstick."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.metrics.mia_reference import MiaReferenceParams
from tests.worker.metrics.conftest import Scaled
from worker.attacks import Sides
from worker.metrics.mia_reference import difference, mia_reference
from worker.numerics.outcome import Bench, Model
from worker.numerics.recipe import Recipe

MakeBench = Callable[..., Bench]
MIXED = [(x / 10, 1) for x in range(-20, 20)]


def test_the_difference_by_hand() -> None:
    audited = Sides(np.array([1.0, 2.0]), np.array([3.0]))
    known = [Sides(np.array([2.0, 2.0]), np.array([3.0])), Sides(np.array([4.0, 0.0]), np.array([1.0]))]
    forgotten, held_out = difference(audited, known)
    assert forgotten.tolist() == [2.0, -1.0]
    assert held_out.tolist() == [-1.0]


def test_a_model_like_the_reference_shows_nothing_and_a_surer_one_does(make_bench: MakeBench) -> None:
    # after = reference: all differences are 0; before has scale 1, the reference 0.5: a gain on every right answer
    right = [(x / 10, 1) for x in range(1, 41)]
    wrong = [(-x / 10, 1) for x in range(1, 41)]
    (found,) = mia_reference(
        make_bench({"forget": right, "test": wrong}, after=0.5, golds=(0.5,)), MiaReferenceParams()
    )
    assert found.after == 0.5
    assert found.before == found.no_op == 1.0
    assert (found.measure, found.gold, found.n) == ("reference_auc", (), 80)
    assert found.contrast is not None
    assert (found.contrast.value, found.contrast.control) == (0.0, 0.5)
    assert "cannot be attacked by itself" in found.caveats[0]


def test_gold_models_are_measured_against_each_other(make_bench: MakeBench) -> None:
    (found,) = mia_reference(make_bench({"forget": MIXED, "test": MIXED}, golds=(0.5, 0.5, 2.0)), MiaReferenceParams())
    assert len(found.gold) == 3
    assert found.gold[0] == found.gold[1]
    assert found.gold_interval is not None


def test_without_a_model_that_never_saw_d_f_there_is_no_finding(make_bench: MakeBench) -> None:
    sets = {"forget": MIXED, "test": MIXED, "retain": MIXED}
    assert mia_reference(make_bench(sets), MiaReferenceParams()) == []
    assert mia_reference(make_bench(sets), MiaReferenceParams(references="half_data")) == []  # no recipe
    assert mia_reference(make_bench({"forget": MIXED}, golds=(1.0,)), MiaReferenceParams()) == []


def test_references_are_trained_on_half_of_the_kept_data_once(make_bench: MakeBench) -> None:
    seen: list[int] = []

    class Watched(Scaled):
        def __init__(self) -> None:
            super().__init__()
            self.train_mode = False

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append(len(inputs))
            return super().forward(inputs)

    bench = make_bench({"forget": MIXED, "test": MIXED, "retain": [*MIXED, *MIXED]})
    bench = replace(
        bench,
        before=Model(lambda _: Watched(), bench.before.weights),
        recipe=Recipe(learning_rate=0.1, epochs=1, batch_size=1000),
    )
    params = MiaReferenceParams(references="half_data", models=2)
    first = mia_reference(bench, params)
    assert seen == [40, 40]
    assert mia_reference(bench, params) == first
    assert seen == [40, 40]


def test_ten_held_out_samples_stand_against_one_where_there_are_so_many(make_bench: MakeBench) -> None:
    (found,) = mia_reference(make_bench({"forget": MIXED[:2], "test": MIXED}, golds=(1.0,)), MiaReferenceParams())
    assert found.n == 2 + 20
    assert found.after == pytest.approx(0.5)
