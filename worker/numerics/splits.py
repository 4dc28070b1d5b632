"""Validation parts of a training set: which samples a method does not see while it is tried."""

import torch
from torch import Tensor


def hold_out(labels: Tensor, fraction: float, *, seed: int) -> Tensor:
    """One validation part, with the class mix of the whole as nearly as whole samples allow.

    The samples are ranked class by class, in random order within a class; rank r is in the part where ⌊(r + 1)·f⌋
    exceeds ⌊r·f⌋: ⌊N·f⌋ samples, spread evenly over the ranks.

    Args:
        labels: `(N,)`.
        fraction: f, in (0, 1).
        seed: another seed, another part.

    Returns:
        The mask `(N,)` of the part.
    """
    rank = _ranked(labels, seed).double()
    return ((rank + 1) * fraction).floor() > (rank * fraction).floor()


def folds(labels: Tensor, count: int, *, seed: int) -> list[Tensor]:
    """Validation parts, k of them, that share no sample and hold all of them, each with the class mix of the whole.

    Args:
        labels: `(N,)`.
        count: k ≥ 2; parts are empty where it exceeds N.
        seed: another seed, other parts.

    Returns:
        Their masks `(N,)`.
    """
    fold = _ranked(labels, seed) % count
    return [fold == number for number in range(count)]


def _ranked(labels: Tensor, seed: int) -> Tensor:
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    order = shuffled[labels[shuffled].argsort(stable=True)]
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(labels))
    return ranks
