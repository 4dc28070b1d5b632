"""A training recipe: all that a gold retraining needs beyond data and architecture."""

from dataclasses import dataclass
from typing import Literal

from worker.numerics.augmentation import Augmentation


@dataclass(frozen=True)
class Recipe:
    """Minibatch SGD or Adam: objective, peak learning rate, momentum, weight decay, schedule, epochs, augmentation."""

    learning_rate: float
    epochs: int
    batch_size: int = 256
    momentum: float = 0.9  # Adam's β₁
    weight_decay: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float | None = None
    """Largest norm of the gradient; None leaves it alone."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    loss: Literal["cross_entropy", "sd"] = "cross_entropy"
    sd_strength: float | None = None
    """γ of the SD loss; None without it."""
    augmentation: tuple[Augmentation, ...] = ()
