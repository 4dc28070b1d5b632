"""`vgg16`: the plain deep convolutional network, with batch normalisation, for small images."""

from collections import OrderedDict

from torch import nn

from app.architectures.vgg16 import STAGES, Vgg16Params
from worker.numerics.randomness import drawn_from


def build(params: Vgg16Params, seed: int) -> nn.Module:
    """Thirteen 3×3 convolutions, each with BatchNorm and ReLU, in five stages that end in 2×2 pooling.

    Then the mean over the positions that are left, one at 32×32, and a linear layer. Convolutions are drawn from
    N(0, 2/fan_out) with biases 0, BatchNorm starts as the identity, the linear layer is drawn from N(0, 0.01²) with
    biases 0.

    Returns:
        `(B, C, H, W)` to `(B, classes)`.

    Source: Simonyan & Zisserman 2015, configuration D; BatchNorm, initialisation and the single linear layer as is
        usual for CIFAR-10.
    """
    channels = params.input_shape[0]
    with drawn_from(seed):
        layers = OrderedDict[str, nn.Module]()
        for stage, widths in enumerate(STAGES, 1):
            for number, units in enumerate(widths, 1):
                layers[f"conv{stage}_{number}"] = nn.Conv2d(channels, params.width * units, 3, padding=1)
                layers[f"bn{stage}_{number}"] = nn.BatchNorm2d(params.width * units)
                layers[f"relu{stage}_{number}"] = nn.ReLU()
                channels = params.width * units
            layers[f"pool{stage}"] = nn.MaxPool2d(2)
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["fc"] = nn.Linear(channels, params.classes)
        network = nn.Sequential(layers)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
