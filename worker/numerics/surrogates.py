"""Surrogates: inputs made from a few others, to ask a network what it answers where there is no data of its own."""

from math import pi

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

MOVED = 0.8  # share of the images that are moved at all
ROTATION, LOG_SCALE, SHEAR, SHIFT = pi, 0.7, 0.5, 0.4  # ± each; a shift of 1 is half the image
LOG_GAMMA, GAIN = 0.8, (0.4, 1.2)
SHADED, MADE_OF_NOISE = 0.25, 0.1  # shares
FIELD = 7  # random values along each side of a smooth noise field
JITTER = 0.5  # of features, in their standard deviations


def surrogates(pool: Tensor, n: int) -> Tensor:
    """Make heavily augmented inputs, of images or of features; from torch's global generator.

    Args:
        pool: `(N, *S)`, N ≥ 1, raw: images in [0, 1] or features of any scale; not written to.
        n: how many.

    Returns:
        z, `(n, *S)`; images in [0, 1].
    """
    return (augmented if pool.dim() == 4 else recombined)(pool, n)


def augmented(images: Tensor, n: int) -> Tensor:
    """Images turned, stretched, mixed two by two, re-toned, shaded; some of them nothing but smooth noise.

        z ← mix(move(x), move(x′))             x, x′ drawn with replacement
        z ← gain · z^γ                         γ = e^(±.8), gain from .4 to 1.2
        z ← z · smooth noise                   in a quarter of them
        z ← smooth noise                       in a tenth

    Args:
        images: `(N, C, H, W)` in [0, 1].
        n: how many.

    Returns:
        z, `(n, C, H, W)` in [0, 1].

    Source: ours. Noise alone is a much worse surrogate.
    """
    shape = (n, *images.shape[1:])
    z = mixed(moved(_drawn(images, n)), moved(_drawn(images, n)))
    gamma = uniform((n, 1, 1, 1), -LOG_GAMMA, LOG_GAMMA).exp()
    z = (uniform((n, 1, 1, 1), *GAIN) * z.pow(gamma)).clamp(0, 1)
    z = torch.where(_share(n, SHADED), z * smooth_noise((n, 1, *shape[2:])), z)
    return torch.where(_share(n, MADE_OF_NOISE), smooth_noise(shape), z)


def moved(images: Tensor, strength: float = 1.0) -> Tensor:
    """Most of the images, each under an affine map of its own: rotation, scale per axis, shear, shift.

    Bilinear; what comes from outside an image is 0.

    Args:
        images: `(B, C, H, W)` in [0, 1].
        strength: of rotation, scale, shear and shift; 0 leaves the images where they are.

    Returns:
        The same shape, in [0, 1].
    """
    n = len(images)
    theta = torch.where(_share(n, MOVED)[:, 0], _affine(n, strength), torch.eye(2, 3))
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, align_corners=False).clamp(0, 1)


def mixed(a: Tensor, b: Tensor) -> Tensor:
    """Two images made one, each pair in one of six ways.

        a,  max(a, b),  a·b,  a on one side of a line and b on the other,  a on one side and black,  |a − b|

    Args:
        a: `(B, C, H, W)` in [0, 1].
        b: the same shape.

    Returns:
        The same shape, in [0, 1].
    """
    side = half_planes(len(a), *a.shape[2:])
    ways = torch.stack([a, torch.maximum(a, b), a * b, torch.where(side, a, b), a * side, (a - b).abs()])
    return ways[torch.randint(len(ways), (len(a),)), torch.arange(len(a))]


def half_planes(n: int, height: int, width: int) -> Tensor:
    """Pixels on one side of a line in a random direction, at most half way from the centre to the edge.

    Returns:
        `(n, 1, height, width)` bool.
    """
    angle, offset = uniform((n, 1, 1, 1), 0, 2 * pi), uniform((n, 1, 1, 1), -0.5, 0.5)
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    return x * angle.cos() + y * angle.sin() > offset


def smooth_noise(shape: tuple[int, ...]) -> Tensor:
    """A few random values per image and channel, and everything between them interpolated.

    Args:
        shape: `(B, C, H, W)`.

    Returns:
        That shape, in [0, 1].
    """
    b, c, height, width = shape
    return interpolate(torch.rand(b, c, FIELD, FIELD), (height, width), mode="bilinear", align_corners=True)


def recombined(features: Tensor, n: int) -> Tensor:
    """Lists of features have no geometry to augment: they are recombined and jittered.

        z ← x,   x or x′ in each feature,   or a point between x and x′      a third each
        z ← every feature from a row of its own                               in a tenth
        z ← z + .5·σ·ε                                                       σ: each feature's deviation, ε ~ N(0, 1)

    A feature that never varies stays what it is.

    Args:
        features: `(N, *S)`, any scale.
        n: how many.

    Returns:
        z, `(n, *S)`.
    """
    shape, flat = features.shape[1:], features.flatten(1)
    a, b = _drawn(flat, n), _drawn(flat, n)
    share = torch.rand(n, 1)
    way = torch.randint(3, (n, 1))
    z = torch.where(way == 0, a, torch.where(way == 1, torch.where(torch.rand_like(a) < share, a, b), a.lerp(b, share)))
    alone = flat.gather(0, torch.randint(len(flat), z.shape))
    z = torch.where(torch.rand(n, 1) < MADE_OF_NOISE, alone, z)
    z = z + JITTER * flat.std(0, correction=0) * torch.randn_like(z)
    return z.view(n, *shape)


def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Uniform from low to high."""
    return low + (high - low) * torch.rand(shape)


def _affine(n: int, strength: float) -> Tensor:
    """Rotation · shear · scale, and a shift: `(n, 2, 3)`, from where in the old image each new pixel is taken."""
    angle, shear, *scales = (uniform((n,), -r, r) * strength for r in (ROTATION, SHEAR, LOG_SCALE, LOG_SCALE))
    sx, sy = (scale.exp() for scale in scales)
    cos, sin = angle.cos(), angle.sin()
    linear = torch.stack([cos * sx, (cos * shear - sin) * sy, sin * sx, (sin * shear + cos) * sy], 1).view(n, 2, 2)
    return torch.cat([linear, strength * uniform((n, 2, 1), -SHIFT, SHIFT)], 2)


def _drawn(pool: Tensor, n: int) -> Tensor:
    return pool[torch.randint(len(pool), (n,))]


def _share(n: int, share: float) -> Tensor:
    """True for this share of n images, `(n, 1, 1, 1)`."""
    return torch.rand(n, 1, 1, 1) < share
