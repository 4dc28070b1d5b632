"""Where unlearning is compared: two image sets with small networks that overfit, and CIFAR-10 with those of papers."""

from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import torch

from app.architectures.resnet18 import Resnet18Params
from app.architectures.small_cnn import SmallCnnParams
from app.architectures.vgg16 import Vgg16Params
from app.architectures.vit import VitParams
from app.core.params import ArchitectureParams
from benchmarks.fashion import NORMALISATION
from worker.datasets import decode
from worker.numerics.augmentation import HorizontalFlip, RandomCrop
from worker.numerics.device import device
from worker.numerics.examples import Examples, Normalisation, TensorExamples
from worker.numerics.recipe import Recipe


class Ground(NamedTuple):
    """A data set with a network that remembers what it was trained on."""

    folder: str  # below the data folder
    normalisation: Normalisation
    samples: int  # of the training images, drawn once
    network: ArchitectureParams
    recipe: Recipe


class Data(NamedTuple):
    """Training images, and the test images in two halves."""

    train: Examples
    validation: Examples  # what values are chosen on
    report: Examples  # what every published figure is measured on


CIFAR10 = Normalisation((0.491, 0.482, 0.447), (0.247, 0.243, 0.262))
WINDOWS = (RandomCrop(4), HorizontalFlip())
SMALL = {
    "fashion_cnn": Ground(
        "fashion-mnist",
        NORMALISATION,
        20_000,
        SmallCnnParams(input_shape=(1, 28, 28), classes=10, width=8),
        Recipe(learning_rate=0.05, epochs=20, batch_size=64),
    ),
    "cifar10_cnn": Ground(
        "cifar10",
        CIFAR10,
        6_000,
        SmallCnnParams(input_shape=(3, 32, 32), classes=10, width=8),
        Recipe(learning_rate=0.05, epochs=12, batch_size=64),
    ),
}
"""What two processor cores can do."""
FULL_SIZE = {
    name: Ground("cifar10", CIFAR10, 50_000, network, recipe)
    for name, network, recipe in (
        (
            "cifar10_resnet18",
            Resnet18Params(input_shape=(3, 32, 32), classes=10),
            Recipe(learning_rate=0.1, epochs=30, batch_size=128, weight_decay=5e-4, augmentation=WINDOWS),
        ),
        (
            "cifar10_vgg16",
            Vgg16Params(input_shape=(3, 32, 32), classes=10),
            Recipe(learning_rate=0.05, epochs=30, batch_size=128, weight_decay=5e-4, augmentation=WINDOWS),
        ),
        (
            "cifar10_vit",
            VitParams(input_shape=(3, 32, 32), classes=10, depth=12, width=384, heads=6),
            Recipe(learning_rate=5e-4, epochs=60, batch_size=128, clip=1.0, optimizer="adam", augmentation=WINDOWS),
        ),
    )
}
"""What needs a GPU: the networks that DeepClean was shown with."""
GROUNDS = SMALL | FULL_SIZE


def suited() -> list[str]:
    """The grounds that are played unless others are asked for: those of full size only where there is a GPU."""
    return list(SMALL if device().type == "cpu" else GROUNDS)


def read(data: Path, ground: Ground) -> Data:
    """The ground's training images, and both halves of its test set; which images, depends on nothing else."""
    order = torch.Generator().manual_seed(0)
    train, test = (_examples(data / ground.folder / f"{part}.parquet", ground) for part in ("train", "test"))
    first, second = torch.randperm(len(test), generator=order).chunk(2)
    chosen = torch.randperm(len(train), generator=order)[: ground.samples]
    return Data(train.at(chosen), test.at(first), test.at(second))


def _examples(path: Path, ground: Ground) -> TensorExamples:
    table = pq.read_table(path, columns=["image", "label"])
    labels = torch.tensor(table["label"].to_pylist())
    return TensorExamples(decode(table["image"], 0), labels, torch.arange(len(labels)), ground.normalisation)
