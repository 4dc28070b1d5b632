"""Every metric finds the same on another device, over the registry's table: a new metric is tested there too.

The device is a stand-in that every machine has: no GPU has been asked.
"""

from dataclasses import replace
from itertools import chain

import pytest
import torch
from torch import Tensor

from app.core.params import MetricParams
from app.metrics.backdoor_success import BackdoorSuccessParams
from app.metrics.lira import LiraParams
from app.metrics.neurips_2023 import Neurips2023Params
from app.metrics.relearn import RelearnParams
from app.metrics.weight_distance import WeightDistanceParams
from tests.worker.elsewhere import NAME, elsewhere
from tests.worker.methods.conftest import CLASSES, RECIPE, build, cloud, with_mark
from worker import registry
from worker.numerics.outcome import Again, Bench, Kind, Model
from worker.numerics.run import Quiet, Run
from worker.numerics.training import train

SHORT = replace(RECIPE, epochs=2)
FEWER: dict[type[MetricParams], MetricParams] = {
    LiraParams: LiraParams(models=2),
    Neurips2023Params: Neurips2023Params(models=8),
    RelearnParams: RelearnParams(most_steps=5, orders=1),
}
"""Parameters that take fewer steps: the stand-in takes its time."""
METRICS = [FEWER.get(asked) or asked() for asked in registry.METRICS]
UNASKED = {WeightDistanceParams}
"""Metrics that ask no network anything."""


def made(number: int, run: Run) -> Model:
    return Model(build, train(build, SHORT, cloud(1, 90), seed=number, run=run))


@pytest.fixture(scope="module")
def models() -> list[Model]:
    """The second and the third have never seen class 0, so that there is something to learn again."""
    training = cloud(1, 90)
    seen = training, training.where(training.labels != 0), training.where(training.labels != 0)
    return [Model(build, train(build, SHORT, examples, seed=seed)) for seed, examples in enumerate(seen)]


def bench(models: list[Model], kind: Kind) -> Bench:
    """Nothing in it has been asked yet."""
    training, held_out = cloud(1, 90), cloud(2, 60, first=90)
    asked, unseen = training.labels == 0, held_out.labels == 0
    sets = {
        "retain": training.where(~asked),
        "forget": training.where(asked),
        "test": held_out.where(~unseen) if kind == "class" else held_out,
        "test_forget": held_out.where(unseen),
    }
    if kind == "backdoor":
        del sets["test_forget"]
        sets |= {"forget_clean": sets["forget"], "test_extra": held_out.through(with_mark)}
    before, after, gold = models
    return Bench(
        before,
        after,
        (gold,),
        sets,
        kind,
        CLASSES,
        4,
        Quiet(),
        recipe=SHORT,
        initial=build(5).state_dict(),
        again=Again(made, made, random=True, whole=Quiet()),
    )


@pytest.mark.parametrize("params", METRICS, ids=lambda params: params.name)
def test_a_metric_finds_the_same_on_another_device(params: MetricParams, models: list[Model]) -> None:
    kinds: tuple[Kind, ...] = ("backdoor",) if isinstance(params, BackdoorSuccessParams) else ("class", "samples")
    here = [registry.measure(bench(models, kind), params) for kind in kinds]
    with elsewhere() as asked_on:
        there = [registry.measure(bench(models, kind), params) for kind in kinds]

    assert any(here)
    assert here == there
    assert asked_on == (set() if type(params) in UNASKED else {NAME})


def test_what_models_answered_is_kept_at_home(models: list[Model]) -> None:
    whole = bench(models, "class")
    with elsewhere():
        for asked in registry.METRICS:
            if asked not in {Neurips2023Params, RelearnParams}:
                registry.measure(whole, FEWER.get(asked) or asked())

    kept = chain.from_iterable(answers for _, answers in whole.asked.values())
    reference = chain.from_iterable(model.weights.values() for models in whole.trained.values() for model in models)
    tensors = [*kept, *reference]
    assert tensors
    assert all(type(tensor) is Tensor and tensor.device == torch.device("cpu") for tensor in tensors)
