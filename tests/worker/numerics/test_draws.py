"""Draws for attacks: disjoint by construction, equal class mix, reproducible."""

import torch

from worker.numerics.draws import matched

MEMBERS = torch.tensor([0, 0, 0, 0, 1, 1, 2])
OTHERS = torch.tensor([1, 0, 0, 3, 1, 1])


def test_both_sides_have_as_many_of_every_class() -> None:
    draw = matched(MEMBERS, OTHERS, seed=1)

    assert MEMBERS[draw.members].tolist() == OTHERS[draw.others].tolist() == [0, 0, 1, 1]
    assert len(set(draw.members.tolist())) == len(set(draw.others.tolist())) == 4


def test_the_same_seed_draws_the_same_and_another_another() -> None:
    members, others = torch.zeros(100, dtype=torch.int64), torch.zeros(20, dtype=torch.int64)

    assert torch.equal(matched(members, others, seed=3).members, matched(members, others, seed=3).members)
    assert not torch.equal(matched(members, others, seed=3).members, matched(members, others, seed=4).members)


def test_without_a_common_class_nothing_is_drawn() -> None:
    assert len(matched(torch.tensor([0]), torch.tensor([1]), seed=0).members) == 0
