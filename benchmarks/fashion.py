"""Fashion-MNIST as the experiments with the ten-layer perceptron of Hayase et al. 2020 need it."""

import argparse
import os
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import torch

from app.architectures.mlp import MlpParams
from worker import registry
from worker.datasets import decode
from worker.numerics import evaluation
from worker.numerics.examples import Examples, Normalisation, TensorExamples
from worker.numerics.outcome import Model
from worker.numerics.recipe import Recipe

FORGOTTEN = 0
NORMALISATION = Normalisation((0.286,), (0.353,))
RECIPE = Recipe(learning_rate=0.01, epochs=7, batch_size=256, momentum=0.9, schedule="cosine")
NETWORK = MlpParams(input_shape=(1, 28, 28), classes=10)
BUILD = registry.builder(NETWORK)


class Data(NamedTuple):
    """Training data, and test data with and without the class."""

    train: Examples
    test_forget: Examples
    test_retain: Examples


def read(folder: Path, *, every: int, normalisation: Normalisation = NORMALISATION) -> Data:
    """Ten classes of images from Parquet; of the training images, every so many-th."""
    train, test = (_examples(folder / f"{part}.parquet", normalisation) for part in ("train", "test"))
    return Data(
        train.at(torch.arange(0, len(train), every)),
        test.where(test.labels == FORGOTTEN),
        test.where(test.labels != FORGOTTEN),
    )


def accuracies(model: Model, data: Data) -> dict[str, float]:
    """Test accuracy on the forgotten class and on the others."""
    return {"forget": accuracy(model, data.test_forget), "retain": accuracy(model, data.test_retain)}


def accuracy(model: Model, examples: Examples) -> float:
    """Share of the examples that a model gets right."""
    return evaluation.accuracy(evaluation.logits(model, examples), examples.labels)


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """`--data`: where the data sets are, by default `UNLEARN_BENCH_DATA`."""
    folder = Path(os.environ.get("UNLEARN_BENCH_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=folder, help="folder with fashion-mnist/")


def _examples(path: Path, normalisation: Normalisation) -> TensorExamples:
    table = pq.read_table(path, columns=["image", "label"])
    labels = torch.tensor(table["label"].to_pylist())
    return TensorExamples(decode(table["image"], 0), labels, torch.arange(len(labels)), normalisation)
