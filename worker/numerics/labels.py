"""Labels that teach nothing about a sample."""

import torch
from torch import Tensor


def random_labels(labels: Tensor, classes: int, *, include_true: bool) -> Tensor:
    """Labels drawn uniformly from all classes, or from all but the true one; from torch's global generator.

        u = (y + k) mod C,   k uniform on 1..C−1 (0..C−1 if the true label may come)

    Args:
        labels: y, `(B,)`.
        classes: C, at least 2.
        include_true: whether u may be y.

    Returns:
        u, `(B,)`.
    """
    return (labels + torch.randint(0 if include_true else 1, classes, labels.shape).to(labels.device)) % classes
