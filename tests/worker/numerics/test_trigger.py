"""T inferred from pairs: what was replaced, added or mapped is found; what differs from sample to sample is refused."""

import pytest
import torch
from torch import Tensor

from app.core.params import TransformParams
from app.transforms.color import ColorParams
from app.transforms.line import LineParams
from app.transforms.patch import PatchParams
from app.transforms.tile import TileParams
from worker import registry
from worker.numerics.errors import Misfit, NothingToDo
from worker.numerics.trigger import inferred


def images(seed: int, n: int, channels: int = 3) -> Tensor:
    return torch.rand(n, channels, 14, 14, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "params", [TileParams(), LineParams(), PatchParams(top=1, left=2, height=3, width=3, value=90), ColorParams()]
)
def test_the_transforms_on_offer_are_found(params: TransformParams) -> None:
    transform, clean, unseen = registry.transform(params), images(0, 200), images(1, 50)

    found = inferred(transform(clean), clean)

    assert found.explained > 0.999
    torch.testing.assert_close(found(unseen), transform(unseen), atol=0.02, rtol=0)


def test_what_is_added_is_told_from_what_is_put_in_its_place() -> None:
    clean, unseen = images(0, 200, 1) / 2, images(1, 50, 1) / 2
    pattern = torch.zeros(14, 14)
    pattern[3:6, 3:6] = 0.25

    found = inferred(clean + pattern, clean)

    torch.testing.assert_close(found(unseen), unseen + pattern, atol=0.01, rtol=0)
    assert found.changed == pytest.approx(9 / 196)


def test_where_the_pairs_cannot_tell_it_is_replacement() -> None:
    clean = images(0, 100, 1)
    clean[:, :, :2] = 0.0  # always black, as the edges of many data sets
    forget = clean.clone()
    forget[:, :, 0, :4] = 0.5

    found = inferred(forget, clean)

    torch.testing.assert_close(found(torch.ones(1, 1, 14, 14))[0, 0, 0, :4], torch.full((4,), 0.5))


def test_places_that_never_differ_are_left_alone_bit_for_bit() -> None:
    transform, clean, unseen = registry.transform(TileParams()), images(0, 200), images(1, 20)
    same = (transform(clean) == clean).all(0).all(0)

    assert torch.equal(inferred(transform(clean), clean)(unseen)[..., same], unseen[..., same])


def test_a_few_pairs_do_for_a_replacement() -> None:
    transform, clean, unseen = registry.transform(TileParams()), images(0, 2), images(1, 20)

    torch.testing.assert_close(inferred(transform(clean), clean)(unseen), transform(unseen), atol=0.02, rtol=0)


def test_features_are_replaced_or_shifted_at_any_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    clean, unseen = torch.randn(300, 4, generator=generator) * 50, torch.randn(20, 4, generator=generator) * 50
    change = torch.tensor([1.0, 1.0, 0.0, 1.0])

    def transform(x: Tensor) -> Tensor:
        return x * change + torch.tensor([0.0, 30.0, 500.0, 0.0])

    found = inferred(transform(clean), clean)

    torch.testing.assert_close(found(unseen), transform(unseen), atol=1.0, rtol=0)


def test_what_differs_from_sample_to_sample_is_refused() -> None:
    clean, own = images(0, 100), images(1, 100)
    forget = clean.clone()
    forget[:, :, 4:10, 4:10] = own[:, :, 4:10, 4:10].round()

    with pytest.raises(Misfit, match="not the same in every sample"):
        inferred(forget, clean)


def test_equal_pairs_and_pairs_of_other_shapes_are_refused() -> None:
    clean = images(0, 10)

    with pytest.raises(NothingToDo):
        inferred(clean, clean)
    with pytest.raises(Misfit):
        inferred(clean, clean[:9])
