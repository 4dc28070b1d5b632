"""`vit`: the vision transformer."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from app.architectures.vit import VitParams
from worker.numerics.randomness import drawn_from

DEVIATION = 0.02


class Embedding(nn.Module):
    """x ↦ [t; E patch₁; …; E patch_T] + P: a class token before the patches, learned positions P."""

    def __init__(self, channels: int, patch: int, patches: int, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, patches + 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, 1 + T, width)`."""
        patches = self.patches(x).flatten(2).mT
        return torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.positions


class Attention(nn.Module):
    """softmax(Q Kᵀ/√d) V in each of `heads` heads, and a linear map of them all; one map gives Q, K and V."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, width)` to the same shape."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.projection(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """x ↦ y = x + Attention(LN(x)) ↦ y + W₂ GELU(W₁ LN(y))."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, width)` to the same shape."""
        y: Tensor = x + self.attention(self.norm1(x))
        z: Tensor = y + self.mlp(self.norm2(y))
        return z


class FirstToken(nn.Module):
    """What the class token has become."""

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, width)` to `(B, width)`."""
        return x[:, 0]


def build(params: VitParams, seed: int) -> nn.Module:
    """Patch embedding with a class token, pre-norm blocks, a normalisation, one linear layer on the class token.

    Weights, token and positions are drawn from N(0, 0.02²) cut off at ±2, biases are zero, LayerNorm starts as the
    identity.

    Returns:
        `(B, C, H, W)` to `(B, classes)`.

    Source: Dosovitskiy et al., An Image is Worth 16×16 Words, 2021; drawn as in Touvron et al., DeiT, 2021.
    """
    channels, height, width = params.input_shape
    patches = (height // params.patch) * (width // params.patch)
    with drawn_from(seed):
        network = nn.Sequential(
            OrderedDict[str, nn.Module](
                embedding=Embedding(channels, params.patch, patches, params.width),
                blocks=nn.Sequential(
                    *(Block(params.width, params.heads, params.mlp_ratio * params.width) for _ in range(params.depth))
                ),
                norm=nn.LayerNorm(params.width),
                first=FirstToken(),
                head=nn.Linear(params.width, params.classes),
            )
        )
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                nn.init.trunc_normal_(parameter, std=DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
    return network
