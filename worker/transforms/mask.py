"""`mask`: part of an input covered with a fill."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.core.params import InputKind
from app.core.words import words_of
from app.transforms.mask import MaskParams
from worker.numerics.inpaint import inpaint
from worker.numerics.words import PADDING, hashed


def apply(params: MaskParams, inputs: Tensor) -> Tensor:
    """Cover it.

    Args:
        params: what, and with which fill.
        inputs: images `(B, C, H, W)` in [0, 1], features `(B, D)`, or the hashes of words `(B, L)`.

    Returns:
        The same shape.
    """
    if params.takes is InputKind.IMAGES:
        return inputs.masked_fill(area(params, inputs.shape), params.fill / 255)
    if params.takes is InputKind.FEATURES:
        return inputs.index_fill(1, torch.tensor(params.features), params.fill)
    # Where the padding at the end begins, nothing is to be covered.
    fill = PADDING if params.fill_word is None else hashed(*words_of(params.fill_word))
    return inputs.masked_fill(words(params, inputs) & (inputs != PADDING), fill)


def remove(params: MaskParams, inputs: Tensor) -> Tensor:
    """The best estimate of what lay under it: of an image, its surroundings; of features and words there is none."""
    return inpaint(inputs, area(params, inputs.shape)) if params.takes is InputKind.IMAGES else inputs.clone()


def area(params: MaskParams, shape: Sequence[int]) -> Tensor:
    """The union of the rectangles, `(H, W)` bool, in images of shape `(..., H, W)`."""
    covered = torch.zeros(shape[-2], shape[-1], dtype=torch.bool)
    for r in params.rectangles or []:
        covered[r.top : r.top + r.height, r.left : r.left + r.width] = True
    return covered


def words(params: MaskParams, inputs: Tensor) -> Tensor:
    """The spans, and every place of the phrases: `(B, L)` bool, of hashes `(B, L)`."""
    covered = torch.zeros(inputs.shape, dtype=torch.bool)
    for span in params.spans or []:
        covered[:, span.start : span.start + span.length] = True
    for text in params.phrases or []:
        phrase = torch.tensor([hashed(word) for word in words_of(text)])
        starts = inputs.shape[1] - len(phrase) + 1
        if starts < 1:
            continue
        found = (inputs.unfold(1, len(phrase), 1) == phrase).all(-1)
        for offset in range(len(phrase)):
            covered[:, offset : offset + starts] |= found
    return covered
