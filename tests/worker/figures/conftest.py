"""A small real audit: a perceptron that overfits three hundred digits, beside one that never saw sixty of them."""

from functools import cache, partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from app.architectures.mlp import MlpParams
from app.metrics.accuracy import AccuracyParams
from app.metrics.mia import MiaParams
from worker import registry
from worker.numerics.examples import Examples, Normalisation, TensorExamples
from worker.numerics.outcome import Bench, Model
from worker.numerics.recipe import Recipe
from worker.numerics.run import Quiet
from worker.numerics.training import train

FORGET, RETAIN, TEST = range(60), range(60, 300), range(300, 700)


@cache
def _bench() -> Bench:
    digits = load_digits()
    pixels = torch.from_numpy((digits.images / 16 * 255).round().astype(np.uint8))[:, None]
    labels = torch.from_numpy(digits.target.astype(np.int64))

    def examples(rows: range) -> Examples:
        chosen = torch.tensor(list(rows))
        return TensorExamples(pixels[chosen], labels[chosen], chosen, Normalisation((0.3,), (0.38,)))

    build = registry.builder(MlpParams(input_shape=(1, 8, 8), classes=10, layers=3, width=64))
    fit = partial(train, build, Recipe(learning_rate=0.05, epochs=30, batch_size=32), seed=1)
    old, gold = fit(examples(range(300))), fit(examples(RETAIN))
    return Bench(
        before=Model(build, old),
        after=Model(build, {name: 0.7 * old[name] + 0.3 * gold[name] for name in old}),
        golds=(Model(build, gold),),
        sets={"retain": examples(RETAIN), "forget": examples(FORGET), "test": examples(TEST)},
        kind="samples",
        classes=10,
        seed=3,
        run=Quiet(),
    )


@pytest.fixture
def bench() -> Bench:
    """Before, after (a third of the way to gold) and gold."""
    return _bench()


METRICS = (AccuracyParams(), MiaParams())
