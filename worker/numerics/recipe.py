"""A training recipe: all that a gold retraining needs beyond data and architecture."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """Minibatch SGD on cross entropy: peak learning rate, momentum, weight decay, schedule, epochs."""

    learning_rate: float
    epochs: int
    batch_size: int = 256
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float | None = None
    """Largest norm of the gradient; None leaves it alone."""
