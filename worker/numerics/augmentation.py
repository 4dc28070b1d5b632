"""Augmentation: what a recipe does to the images of every batch before the network sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor


@dataclass(frozen=True)
class HorizontalFlip:
    """Left becomes right, for every image with probability ½."""

    name: Literal["horizontal_flip"] = "horizontal_flip"

    def __call__(self, images: Tensor, background: Tensor) -> Tensor:  # noqa: ARG002 - the other one needs it
        """`(B, C, H, W)` to the same shape."""
        turned = torch.rand(len(images), 1, 1, 1) < 0.5
        return torch.where(turned.to(images.device), images.flip(3), images)


@dataclass(frozen=True)
class RandomCrop:
    """A window of the image's own size, anywhere in the image with a margin of `padding` pixels around it."""

    padding: int
    name: Literal["random_crop"] = "random_crop"

    def __call__(self, images: Tensor, background: Tensor) -> Tensor:
        """`(B, C, H, W)` to the same shape; every image is moved by up to `padding` pixels either way, by each equally.

        Args:
            images: normalised.
            background: the margin, `(1, C, 1, 1)`.
        """
        n, channels, height, width = images.shape
        p = self.padding
        padded = background.expand(n, channels, height + 2 * p, width + 2 * p).clone()
        padded[:, :, p : p + height, p : p + width] = images
        down, right = torch.randint(0, 2 * p + 1, (2, n, 1)).to(images.device)
        rows = down + torch.arange(height, device=images.device)  # (B, H)
        columns = right + torch.arange(width, device=images.device)  # (B, W)
        every = torch.arange(n, device=images.device)[:, None, None]
        return padded.permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


Augmentation: TypeAlias = HorizontalFlip | RandomCrop


def augmented(images: Tensor, steps: Sequence[Augmentation], background: Tensor) -> Tensor:
    """All steps in their order, drawing from torch's global generator.

    Args:
        images: normalised, `(B, C, H, W)`.
        steps: what is done.
        background: what black is after normalisation, `(1, C, 1, 1)`.

    Returns:
        Same shape.

    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012; the padded crop:
    He et al., Deep Residual Learning for Image Recognition, 2016.
    """
    for step in steps:
        images = step(images, background)
    return images
