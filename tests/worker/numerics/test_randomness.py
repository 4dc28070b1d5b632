"""Randomness that depends on a seed alone."""

import pytest
import torch

from worker.numerics.randomness import derived, drawn_from


def test_within_draws_depend_on_the_seed_alone() -> None:
    with drawn_from(3):
        first = torch.rand(4)
    torch.rand(7)
    with drawn_from(3):
        assert torch.equal(torch.rand(4), first)


def test_afterwards_the_global_generator_stands_where_it_stood_even_after_an_error() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    with pytest.raises(ZeroDivisionError), drawn_from(3):
        torch.rand(int(1 / 0))
    assert torch.equal(torch.rand(2), expected)


def test_derived_seeds_differ_by_purpose_and_number_and_fit_a_generator() -> None:
    seeds = {derived(seed, purpose, k) for seed in range(3) for purpose in ("epoch", "step") for k in range(100)}
    assert len(seeds) == 600
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived(1, 23) != derived(12, 3)
