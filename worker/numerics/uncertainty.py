"""How unsure an answer is: its entropy, and the modified entropy, which knows the label."""

import torch
from torch import Tensor

from worker.numerics.evaluation import per_sample_loss


def entropy(logits: Tensor) -> Tensor:
    """Entropy of every answer in nats, exact also where the largest p is 1 to float64's last digit.

        H(p) = −Σᵢ pᵢ log pᵢ,   p = softmax(z),   0 log 0 := 0

    Args:
        logits: z, `(N, C)`; −∞ for silenced classes.

    Returns:
        `(N,)`, float64, in [0, log C].

    Source: Song & Mittal 2021, §4.
    """
    log_p = _log_p(logits)
    return -(log_p.exp() * log_p.masked_fill(log_p == -torch.inf, 0.0)).sum(1)


def modified_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Small for a sure and right answer, large for a sure and wrong one: the entropy tells neither from the other.

        M(p, y) = −(1 − p_y) log p_y − Σ_{i≠y} pᵢ log(1 − pᵢ),   0 log 0 := 0

    Of the likeliest class t, log(1 − p_t) = log Σ_{i≠t} pᵢ: finite however close to 1 p_t is.

    Args:
        logits: z, `(N, C)`; −∞ for silenced classes.
        labels: y, `(N,)`. A sample of a silenced class has ∞.

    Returns:
        `(N,)`, float64, at least 0.

    Source: Song & Mittal 2021, §4.
    """
    log_p, column = _log_p(logits), labels.unsqueeze(1)
    top = log_p.argmax(1, keepdim=True)
    log_rest = log_p.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True)
    log_not_p = torch.log1p(-log_p.exp()).scatter(1, top, log_rest)  # of the other classes p ≤ ½: nothing cancels
    own = (log_not_p.exp() * log_p).gather(1, column).squeeze(1)
    return -own - (log_p.exp() * log_not_p).scatter(1, column, 0.0).sum(1)


def _log_p(logits: Tensor) -> Tensor:
    """Logarithms of softmax(z) in float64; that of the likeliest class from the others, else its digits are lost."""
    z = logits.double()
    top = z.argmax(1)
    log_top = -per_sample_loss(z, top)
    return z.log_softmax(1).scatter_(1, top.unsqueeze(1), log_top.unsqueeze(1))
