"""The networks that the Fisher benchmark measures on, each with a batch of random inputs from a fixed seed.

Random inputs serve for time and memory; the weights are those a network starts training with.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from app.architectures.mlp import MlpParams
from app.architectures.resnet18 import Resnet18Params
from app.architectures.vit import VitParams
from app.core.params import ArchitectureParams
from worker import registry
from worker.architectures.vit import Block
from worker.numerics.randomness import drawn_from

SEED = 0
CLASSES = 10
SMALL, LARGE = (3, 32, 32), (3, 224, 224)


class Case(NamedTuple):
    """A network in eval mode, and a batch for it."""

    network: nn.Module
    inputs: Tensor  # (B, *S) float32
    labels: Tensor  # (B,)

    def on(self, device: str) -> "Case":
        """The same on another device."""
        return Case(self.network.to(device), self.inputs.to(device), self.labels.to(device))


class Kind(NamedTuple):
    """How to make a case of any batch size."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    quick_batch: int

    def case(self, *, quick: bool = False) -> Case:
        """The same case every time; BatchNorm statistics are calibrated on other inputs of the same kind."""
        with drawn_from(SEED):
            size = self.quick_batch if quick else self.batch
            inputs, labels = torch.randn(size, *self.shape), torch.randint(CLASSES, (size,))
            network = self.build()
            if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
                _calibrate(network, self.shape)
        return Case(network.eval(), inputs, labels)


class Packed(nn.Module):
    """Self-attention by `nn.MultiheadAttention`, whose one tensor holds the weights of Q, K and V."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, width)` to the same shape."""
        mixed: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return mixed


class Bottleneck(nn.Module):
    """y = ReLU(W₃ ∗ ReLU(W₂ ∗ ReLU(W₁ ∗ x)) + shortcut(x)), BatchNorm after every ∗; 1×1, 3×3, 1×1."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.one, self.two, self.three = (
            _conv(inputs, width, 1),
            _conv(width, width, 3, stride),
            _conv(width, 4 * width, 1),
        )
        same = stride == 1 and inputs == 4 * width
        self.shortcut = nn.Identity() if same else _conv(inputs, 4 * width, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, 4·width, H/stride, W/stride)`."""
        return relu(self.three(relu(self.two(relu(self.one(x))))) + self.shortcut(x))


def packed_vit(params: VitParams) -> nn.Module:
    """The registered transformer with the attention of every block replaced by `nn.MultiheadAttention`."""
    network = registry.builder(params)(SEED)
    for block in [module for module in network.modules() if isinstance(module, Block)]:
        block.attention = Packed(params.width, params.heads)  # type: ignore[assignment]  # another module, same shapes
    return network


def resnet50() -> nn.Module:
    """ResNet-50 as published (He et al. 2016), stride in the 3×3 convolutions."""
    stages, inputs = [], 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for number in range(blocks):
            stages.append(Bottleneck(inputs, 64 << stage, 2 if stage and not number else 1))
            inputs = 4 * (64 << stage)
    stem = (_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return nn.Sequential(*stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


def _registered(params: ArchitectureParams) -> Callable[[], nn.Module]:
    return partial(registry.builder(params), SEED)


def _conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


def _calibrate(network: nn.Module, shape: tuple[int, ...]) -> None:
    """With the statistics of a fresh network half of the entries are zero, and hide errors."""
    network.train()
    with torch.no_grad():
        for _ in range(10 if shape[-1] < 100 else 3):
            network(torch.randn(16, *shape))
    network.eval()


VIT = VitParams(input_shape=SMALL, classes=CLASSES, patch=4, depth=6, width=192, heads=3)
KINDS: Mapping[str, Kind] = {
    "mlp": Kind(_registered(MlpParams(input_shape=(784,), classes=CLASSES)), (784,), 256, 16),
    "resnet18": Kind(_registered(Resnet18Params(input_shape=SMALL, classes=CLASSES)), SMALL, 12, 2),
    "vit": Kind(_registered(VIT), SMALL, 16, 2),
    "vit_mha": Kind(partial(packed_vit, VIT), SMALL, 16, 2),
}
LARGE_VIT = VitParams(input_shape=LARGE, classes=CLASSES, patch=16, depth=12, width=768, heads=12)
ON_CUDA: Mapping[str, Kind] = {
    "vit_b16": Kind(_registered(LARGE_VIT), LARGE, 64, 2),
    "resnet50": Kind(resnet50, LARGE, 64, 2),
}
"""More networks, where there is a GPU."""
