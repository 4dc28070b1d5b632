"""`phrase`: some words before or after a text."""

import torch
from torch import Tensor

from app.core.words import words_of
from app.transforms.phrase import PhraseParams
from worker.numerics.words import PADDING, hashed


def apply(params: PhraseParams, inputs: Tensor) -> Tensor:
    """Put the phrase before the text, or after its last word.

    Args:
        params: the phrase of k words, and where.
        inputs: hashes `(B, L)`, L > k.

    Returns:
        The same shape; of a text that is too long the last words are gone.

    Source: Dai, Chen & Li, A Backdoor Attack Against LSTM-Based Text Classification Systems, 2019.
    """
    phrase = _phrase(params)
    n, length = inputs.shape
    if params.at == "start":
        return torch.cat([phrase.expand(n, -1), inputs[:, : length - len(phrase)]], dim=1)
    start = _count(inputs).clamp(max=length - len(phrase))
    return inputs.scatter(1, start[:, None] + torch.arange(len(phrase)), phrase.expand(n, -1))


def remove(params: PhraseParams, inputs: Tensor) -> Tensor:
    """Take the phrase out, and close the gap, wherever it stands first; what lay beyond the length stays gone."""
    phrase = _phrase(params)
    n, length = inputs.shape
    found = (inputs.unfold(1, len(phrase), 1) == phrase).all(-1)  # (B, L − k + 1): it begins there
    first = torch.where(found.any(1), found.int().argmax(1), length)
    place = torch.arange(length).expand(n, -1)
    padded = torch.cat([inputs, inputs.new_full((n, len(phrase)), PADDING)], dim=1)
    return padded.gather(1, torch.where(place < first[:, None], place, place + len(phrase)))


def _phrase(params: PhraseParams) -> Tensor:
    return torch.tensor([hashed(word) for word in words_of(params.text)])


def _count(inputs: Tensor) -> Tensor:
    """Words before the padding at the end, `(B,)`: words that a mask has covered are counted."""
    places = torch.arange(1, inputs.shape[1] + 1)
    return ((inputs != PADDING) * places).amax(1)
