"""Random draws of samples that an attack may be built on: equal class mix, reproducible."""

from typing import NamedTuple

import torch
from torch import Tensor


class Draw(NamedTuple):
    """Indices into two sets, equally many of each class from both."""

    members: Tensor  # (n,) int64, into the first set
    others: Tensor  # (n,) int64, into the second set, class by class like the first


def matched(members: Tensor, others: Tensor, *, seed: int) -> Draw:
    """As many samples of every class from one set as from the other, without replacement.

        n_c = min(count of c among the members, count of c among the others)

    Args:
        members: labels of the first set, `(M,)`.
        others: labels of the second set, `(O,)`.
        seed: another seed, another draw; the same seed, the same draw.
    """
    generator = torch.Generator().manual_seed(seed)
    first, second = [], []
    for c in sorted(set(members.tolist()) & set(others.tolist())):
        a, b = (_shuffled((labels == c).nonzero().flatten(), generator) for labels in (members, others))
        n = min(len(a), len(b))
        first.append(a[:n])
        second.append(b[:n])
    nothing = [torch.empty(0, dtype=torch.int64)]
    return Draw(torch.cat(first or nothing), torch.cat(second or nothing))


def _shuffled(indices: Tensor, generator: torch.Generator) -> Tensor:
    return indices[torch.randperm(len(indices), generator=generator)]
