"""A pool of surrogates: every old answer has its turn, and attacks go where they should."""

import pytest
import torch
from torch import nn

from worker.numerics.examples import Normalisation
from worker.numerics.randomness import drawn_from
from worker.numerics.run import Quiet
from worker.numerics.surrogate_pool import RADIUS, Pool, attacked, balanced, surrogate_pool

SCALE = Normalisation((0.5,), (0.25,))


def network() -> nn.Module:
    with drawn_from(3):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_every_answer_is_as_likely_and_the_seen_one_a_fifth_as_likely() -> None:
    answers = torch.tensor([0] * 10 + [1] * 2 + [3] * 4)

    weights = balanced(answers, seen=1)

    totals = [float(weights[answers == c].sum()) for c in (0, 1, 3)]
    assert totals == pytest.approx([1.0, 0.2, 1.0])
    with drawn_from(0):
        drawn = Pool(answers[:, None].float(), weights).draw(6000)
    assert (drawn == 1).float().mean() == pytest.approx(0.2 / 2.2, abs=0.02)


def test_attacked_images_look_like_another_class_and_stay_near() -> None:
    old, x = network(), images(60)
    with drawn_from(0):
        z = attacked(old, SCALE, x)

    assert (z - x).abs().max() <= RADIUS + 1e-6
    assert z.min() >= 0
    assert z.max() <= 1
    before, after = (old(SCALE(part)).argmax(1) for part in (x, z))
    assert (before != after).float().mean() > 0.9
    assert not any(parameter.grad is not None for parameter in old.parameters())


@pytest.mark.parametrize("varied", [True, False])
def test_a_pool_is_as_large_as_asked_in_range_and_seeded(varied: bool) -> None:  # noqa: FBT001 - a parameter of the test
    pools = []
    for seed in (1, 1, 2):
        with drawn_from(seed):
            pools.append(surrogate_pool(network(), SCALE, images(5), 507, varied=varied, seen=0, run=Quiet()))

    assert pools[0].inputs.shape == (507, 1, 8, 8)
    assert pools[0].inputs.min() >= 0
    assert pools[0].inputs.max() <= 1
    assert torch.equal(pools[0].inputs, pools[1].inputs)
    assert not torch.equal(pools[0].inputs, pools[2].inputs)


def test_features_have_a_pool_too() -> None:
    with drawn_from(0):
        pool = surrogate_pool(nn.Linear(6, 3), Normalisation(), torch.rand(9, 6), 20, varied=True, seen=0, run=Quiet())

    assert pool.draw(7).shape == (7, 6)
