"""How much one number says about another that further ones do not say already, without a model: CODEC."""

import torch
from torch import Tensor


def codec(y: Tensor, candidates: Tensor, given: Tensor) -> Tensor:
    """The conditional dependence coefficient of y on each candidate, given others.

        R_i = #{l : y_l ≤ y_i},   L_i = #{l : y_l ≥ y_i}
        N(i), M(i): the nearest neighbour of i by the given numbers, and by those and the candidate

        T = Σ (min(R_i, R_M(i)) − min(R_i, R_N(i))) / Σ (R_i − min(R_i, R_N(i)))
        T = Σ (n·min(R_i, R_M(i)) − L_i²) / Σ L_i (n − L_i)                          where nothing is given

    In the limit 0 if y does not depend on the candidate given the others, 1 if it is a function of both. Of equally
    near neighbours one is drawn, from torch's global generator: else a candidate that is constant could seem to say
    much.

    Args:
        y: `(n,)`, n ≥ 2.
        candidates: `(n, m)`.
        given: `(n, k)`; k = 0: nothing.

    Returns:
        T, `(m,)` float64; 0 where nothing is left to be explained.

    Source: Azadkia & Chatterjee, A Simple Measure of Conditional Dependence, 2021, §2.
    """
    y, n = y.double(), len(y)
    ranks = (y[:, None] >= y).sum(1).double()  # R
    apart = torch.cdist(given.double(), given.double()).square() if given.shape[1] else torch.zeros(n, n).double()
    by_both = torch.stack(
        [
            torch.minimum(ranks, ranks[neighbours(apart + (z[:, None] - z).square())]).sum()
            for z in candidates.double().T
        ]
    )
    if given.shape[1]:
        by_given = torch.minimum(ranks, ranks[neighbours(apart)]).sum()
        explained, open_ = by_both - by_given, ranks.sum() - by_given
    else:
        above = (y[:, None] <= y).sum(1).double()  # L
        explained, open_ = n * by_both - above.square().sum(), (above * (n - above)).sum()
    return explained / open_ if open_ > 0 else torch.zeros_like(explained)


def foci(y: Tensor, candidates: Tensor, *, most: int) -> list[int]:
    """Which candidates y depends on: the one with the largest T, given those that were chosen before, while T > 0.

    Args:
        y: `(n,)`.
        candidates: `(n, m)`, brought to one scale here, since neighbours are sought by several at once.
        most: at most so many.

    Returns:
        Columns, in the order in which they were chosen.

    Source: Azadkia & Chatterjee 2021, §5 (FOCI).
    """
    scaled = candidates.double() - candidates.double().mean(0)
    scaled = scaled / scaled.std(0, correction=0).clamp(min=torch.finfo(torch.float64).tiny)
    chosen: list[int] = []
    while len(chosen) < min(most, scaled.shape[1]):
        scores = codec(y, scaled, scaled[:, chosen])
        scores[chosen] = -torch.inf
        if scores.max() <= 0:
            break
        chosen.append(int(scores.argmax()))
    return chosen


def neighbours(distances: Tensor) -> Tensor:
    """The nearest other one of each, `(n, n)` to `(n,)`; of equally near ones any."""
    others = distances.clone().fill_diagonal_(torch.inf)
    near = others == others.min(1, keepdim=True).values
    return torch.where(near, torch.rand(others.shape), torch.inf).argmin(1)
