"""Augmentation moves and mirrors images, each one for itself, and invents no pixel but the background."""

import torch

from worker.numerics.augmentation import HorizontalFlip, RandomCrop, augmented
from worker.numerics.randomness import drawn_from

BLACK = torch.tensor([-1.0, -2.0]).view(1, 2, 1, 1)


def images(n: int = 200) -> torch.Tensor:
    return torch.rand(n, 2, 5, 4, generator=torch.Generator().manual_seed(0))


def test_about_half_of_the_images_are_mirrored_and_the_rest_is_left() -> None:
    given = images()
    with drawn_from(0):
        made = HorizontalFlip()(given, BLACK)
    left = (made == given).flatten(1).all(1)
    assert torch.equal(made[~left], given[~left].flip(3))
    assert 70 <= int(left.sum()) <= 130


def test_a_crop_is_the_image_moved_with_the_background_beside_it() -> None:
    given = images()
    with drawn_from(0):
        made = RandomCrop(2)(given, BLACK)
    framed = BLACK.expand(200, 2, 9, 8).clone()
    framed[:, :, 2:7, 2:6] = given
    offsets = set()
    for image, frame in zip(made, framed, strict=True):
        found = [(d, r) for d in range(5) for r in range(5) if torch.equal(frame[:, d : d + 5, r : r + 4], image)]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) == 25  # all there are


def test_the_steps_come_in_their_order() -> None:
    given = images(50)
    with drawn_from(1):
        both = augmented(given, (RandomCrop(1), HorizontalFlip()), BLACK)
    with drawn_from(1):
        expected = HorizontalFlip()(RandomCrop(1)(given, BLACK), BLACK)
    assert torch.equal(both, expected)
    assert augmented(given, (), BLACK) is given
