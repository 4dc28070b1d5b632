"""`resnet18`: the residual network with the stem for small images."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn.functional import relu

from app.architectures.resnet18 import Resnet18Params
from worker.numerics.randomness import drawn_from


class Block(nn.Module):
    """y = ReLU(BN(W₂ ∗ ReLU(BN(W₁ ∗ x))) + shortcut(x)).

    The shortcut is a 1×1 convolution with BatchNorm where the shape changes, else the identity.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False)).append(nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, inputs, H, W)` to `(B, outputs, H/stride, W/stride)`."""
        inner = relu(self.bn1(self.conv1(x)))
        return relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


def build(params: Resnet18Params, seed: int) -> nn.Module:
    """A 3×3 stem of stride 1, four stages of two blocks, mean over the positions, one linear layer.

    Convolutions are drawn from N(0, 2/fan_out), BatchNorm starts as the identity.

    Returns:
        `(B, C, H, W)` to `(B, classes)`.

    Source: He et al., Deep Residual Learning for Image Recognition, 2016; drawn as in their
        Delving Deep into Rectifiers, 2015.
    """
    channels, width = params.input_shape[0], params.width
    with drawn_from(seed):
        network = nn.Sequential(
            OrderedDict[str, nn.Module](
                conv1=nn.Conv2d(channels, width, 3, padding=1, bias=False),
                bn1=nn.BatchNorm2d(width),
                relu=nn.ReLU(),
                layer1=_stage(width, width, 1),
                layer2=_stage(width, 2 * width, 2),
                layer3=_stage(2 * width, 4 * width, 2),
                layer4=_stage(4 * width, 8 * width, 2),
                pool=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                fc=nn.Linear(8 * width, params.classes),
            )
        )
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Block(inputs, outputs, stride), Block(outputs, outputs, 1))
