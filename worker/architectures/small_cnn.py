"""`small_cnn`: a convolutional network that trains in seconds on a CPU."""

from torch import nn

from app.architectures.small_cnn import SmallCnnParams
from worker.numerics.randomness import drawn_from


def build(params: SmallCnnParams, seed: int) -> nn.Module:
    """Two 3×3 convolutions, each with ReLU and 2×2 pooling, then two linear layers; torch's own initialisation.

    Returns:
        `(B, C, H, W)` to `(B, classes)`.
    """
    channels, height, width = params.input_shape
    features = 2 * params.width * (height // 4) * (width // 4)
    with drawn_from(seed):
        return nn.Sequential(
            nn.Conv2d(channels, params.width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(params.width, 2 * params.width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(features, params.hidden),
            nn.ReLU(),
            nn.Linear(params.hidden, params.classes),
        )
