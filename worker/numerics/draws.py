"""Random draws of samples that an attack may be built on: equal class mix, reproducible."""

from typing import NamedTuple

import torch
from torch import Tensor


class Draw(NamedTuple):
    """Indices into two sets, with the same class mix."""

    members: Tensor  # (n,) int64, into the first set
    others: Tensor  # (n,) int64, into the second set, class by class like the first


def matched(members: Tensor, others: Tensor, *, seed: int, times: int = 1) -> Draw:
    """As many samples of every class from one set as from the other, without replacement.

        n_c = min(count of c among the members, count of c among the others)

    With `times` above 1, r n_c of the others, for the largest r ≤ times that every class has.

    Args:
        members: labels of the first set, `(M,)`.
        others: labels of the second set, `(O,)`.
        seed: another seed, another draw; the same seed, the same draw.
        times: how many of the others may stand against one of the first set; at least 1.
    """
    generator = torch.Generator().manual_seed(seed)
    first, second = [], []
    common = sorted(set(members.tolist()) & set(others.tolist()))
    counts = [(int((members == c).sum()), int((others == c).sum())) for c in common]
    ratio = max(1, min([times, *(b // a for a, b in counts)]))
    for c in common:
        a, b = (_shuffled((labels == c).nonzero().flatten(), generator) for labels in (members, others))
        n = min(len(a), len(b))
        first.append(a[:n])
        second.append(b[: ratio * n])
    nothing = [torch.empty(0, dtype=torch.int64)]
    return Draw(torch.cat(first or nothing), torch.cat(second or nothing))


def _shuffled(indices: Tensor, generator: torch.Generator) -> Tensor:
    return indices[torch.randperm(len(indices), generator=generator)]
