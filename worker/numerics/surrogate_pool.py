"""A pool of surrogates made once, and drawn from so that every answer of the old network has its turn."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy

from worker.numerics.device import place_of, working
from worker.numerics.examples import Normalisation
from worker.numerics.run import Run
from worker.numerics.surrogates import augmented, moved, surrogates

WEAK = 0.15  # of the ranges of the augmentation
SHARES = {"augmented": 0.5, "weak": 0.2, "attacked": 0.3}
RADIUS, STEPS = 0.25, 10  # L∞
SEEN = 0.2  # weight of surrogates that the old network answers like D_f: D_f itself shows enough of those
BATCH = 500


@dataclass(frozen=True)
class Pool:
    """Surrogates, and how likely each is drawn."""

    inputs: Tensor  # z, (M, *S), raw
    weights: Tensor  # (M,), not normalised

    def draw(self, n: int) -> Tensor:
        """`(n, *S)` with replacement, from torch's global generator."""
        return self.inputs[torch.multinomial(self.weights, n, replacement=True)]


@working
def surrogate_pool(
    old: nn.Module, normalisation: Normalisation, sources: Tensor, size: int, *, varied: bool, seen: int, run: Run
) -> Pool:
    """Make surrogates from a few images; from torch's global generator.

        varied: half augmented, a fifth weakly, and the rest attacked: pushed towards another answer of the old network
        not varied, or features: all of them as `surrogates` makes them
        P(z) ∝ 1 / #{z′ : argmax f_old(z′) = argmax f_old(z)},   a fifth of that where the answer is `seen`

    Args:
        old: f_old, in eval mode.
        normalisation: from raw inputs to its.
        sources: `(N, *S)`, raw.
        size: M ≥ 1.
        varied: which parts.
        seen: the class that D_f is answered with.
        run: hears of progress in surrogates.
    """
    parts: list[Tensor] = []
    answers: list[Tensor] = []
    for start in range(0, size, BATCH):
        n = min(BATCH, size - start)
        z = _varied(old, normalisation, sources, n) if varied and sources.dim() == 4 else surrogates(sources, n)
        with torch.no_grad():
            answers.append(old(normalisation(z).to(place_of(old))).argmax(1).cpu())
        parts.append(z)
        run.progress("surrogates", start + n, size, "surrogates")
    return Pool(torch.cat(parts), balanced(torch.cat(answers), seen))


def balanced(answers: Tensor, seen: int) -> Tensor:
    """Weights `(M,)` under which every class among the answers `(M,)` is as likely; `seen` a fifth as likely."""
    counts = answers.bincount()[answers].float()
    return torch.where(answers == seen, SEEN, 1.0) / counts


def attacked(old: nn.Module, normalisation: Normalisation, images: Tensor) -> Tensor:
    """Images under which the old network sees another class: what its other classes look like to it.

        z ← clip(z − ε/4 · sgn(box₃ₓ₃ ∇_z CE(f_old(z), u))),   ten times, within ε of the image (L∞) and in [0, 1]
        u: a class drawn uniformly from all but the one answered

    The gradient is smoothed, so that shapes come out rather than noise.

    Args:
        old: f_old.
        normalisation: from raw inputs to its.
        images: `(B, C, H, W)` in [0, 1], on the CPU.

    Returns:
        The same shape, in [0, 1], on the CPU.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018 (PGD).
    """
    here = place_of(old)
    images = images.to(here)
    with torch.no_grad():
        answers = old(normalisation(images))
    classes = answers.shape[1]
    wanted = (answers.argmax(1) + torch.randint(1, max(classes, 2), (len(images),)).to(here)) % classes
    low, high = (images - RADIUS).clamp(min=0), (images + RADIUS).clamp(max=1)
    z = images
    for _ in range(STEPS):
        z = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(cross_entropy(old(normalisation(z)), wanted), z)
        smooth = avg_pool2d(gradient, 3, stride=1, padding=1)
        z = torch.minimum(torch.maximum(z.detach() - RADIUS / 4 * smooth.sign(), low), high)
    return z.cpu()


def _varied(old: nn.Module, normalisation: Normalisation, sources: Tensor, n: int) -> Tensor:
    weak, hard = round(SHARES["weak"] * n), round(SHARES["attacked"] * n)
    strong = augmented(sources, n - weak)
    copies = moved(sources[torch.randint(len(sources), (weak,))], WEAK)
    return torch.cat([attacked(old, normalisation, strong[:hard]), strong[hard:], copies])
