"""Randomness that depends on a seed alone: not on what was drawn before, and not felt by who draws afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import torch


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Within, torch's global CPU generator starts from the seed; afterwards it stands where it stood."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def derived(seed: int, *numbers: int | str) -> int:
    """A seed of its own for each purpose, epoch or step: 63 bits of SHA-256, so near seeds have nothing in common."""
    digest = sha256("/".join(map(str, (seed, *numbers))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
