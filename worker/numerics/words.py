"""Words as numbers: a text is the hashes of its words, `(L,)` int64, until its network's vocabulary is known.

What adds, covers or removes words works on hashes, so that it need not know how many buckets a network has.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import torch
from torch import Tensor

PADDING = 0


@lru_cache(maxsize=2**18)
def hashed(word: str) -> int:
    """63 bits of BLAKE2b of the word in UTF-8, big-endian; never `PADDING`."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big") >> 1 or 1


def encoded(words: Sequence[str], length: int) -> list[int]:
    """`length` hashes: what is longer is cut, what is shorter padded."""
    kept = [hashed(word) for word in words[:length]]
    return kept + [PADDING] * (length - len(kept))


def bucketed(hashes: Tensor, vocabulary: int) -> Tensor:
    """H ↦ 1 + h mod (V − 1); padding stays 0.

    Args:
        hashes: int64, any shape.
        vocabulary: V ≥ 2.

    Returns:
        Same shape, 0..V−1.

    Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning, 2009.
    """
    return torch.where(hashes == PADDING, hashes, 1 + hashes % (vocabulary - 1))
