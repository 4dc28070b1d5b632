"""Distillation: how far a student's answers are from a teacher's."""

from torch import Tensor
from torch.nn.functional import kl_div, log_softmax


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """The mean over the batch of the divergence of softened answers.

        τ²/B Σₙ KL(p_teacher(n) ‖ p_student(n)),   p = softmax(z/τ)

    The mean is over samples: torch's own default divides by the classes too, a factor of C. τ² keeps the size of the
    gradient about the same for every τ.

    Args:
        student: z, `(B, C)`.
        teacher: z, `(B, C)`.
        temperature: τ > 0.

    Returns:
        A scalar, at least 0; it has no upper bound.

    Source: Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015.
    """
    ours, theirs = (log_softmax(logits / temperature, dim=1) for logits in (student, teacher))
    divergence: Tensor = kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return temperature**2 * divergence
