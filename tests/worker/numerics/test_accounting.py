"""The certificate's numbers, by hand and against slow ways to get them."""

from math import exp, log

import pytest

from worker.numerics.accounting import Walk, epsilon_of, ratio_for

WALKS = [
    Walk(radius=3.0, clip=0.5, learning_rate=0.1, decay=0.0, steps=7),
    Walk(radius=3.0, clip=0.5, learning_rate=0.1, decay=2.0, steps=1),
    Walk(radius=3.0, clip=0.01, learning_rate=0.1, decay=2.0, steps=20),
    Walk(radius=0.0, clip=1.0, learning_rate=0.1, decay=5.0, steps=9),
]


def test_one_step_hides_the_two_radii_and_the_two_clipped_gradients() -> None:
    """2·1 + 2·.5·1 = 3."""
    assert Walk(radius=1, clip=1, learning_rate=0.5, decay=0, steps=1).sensitivity == 3


def test_without_decay_the_noise_adds_up_as_the_root_of_the_steps() -> None:
    """(2·1 + 4·2·.5·1) / √4 = 3."""
    walk = Walk(radius=1, clip=1, learning_rate=0.5, decay=0, steps=4)

    assert (walk.left, walk.pushes, walk.spread, walk.distance, walk.sensitivity) == (1, 4, 2, 6, 3)


def test_decay_forgets_the_start() -> None:
    """c = ½, T = 2: c² = ¼, S₁ = 1½, S₂ = 1¼; 2·(¼·4 + 1·1·1½)/√1¼ = 5/√1.25 = √20."""
    walk = Walk(radius=4, clip=1, learning_rate=1, decay=0.5, steps=2)

    assert (walk.left, walk.pushes) == (0.25, 1.5)
    assert walk.spread**2 == pytest.approx(1.25)
    assert walk.sensitivity == pytest.approx(20**0.5)


@pytest.mark.parametrize("walk", WALKS)
def test_the_shifts_of_the_derivation_are_allowed_and_cost_the_square_of_the_sensitivity(walk: Walk) -> None:
    """z₀ = 2C₀, z ← cz + 2γC₁ − a with a_t = c^(T−t)·distance/S₂: never negative, 0 at the end, Σa² = Δ²."""
    z, cost = 2 * walk.radius, 0.0
    for t in range(1, walk.steps + 1):
        a = walk.contraction ** (walk.steps - t) * walk.distance / walk.spread**2
        z = walk.contraction * z + 2 * walk.learning_rate * walk.clip - a
        cost += a**2
        assert z > -1e-12

    assert z == pytest.approx(0, abs=1e-12)
    assert cost == pytest.approx(walk.sensitivity**2)


@pytest.mark.parametrize("walk", WALKS)
def test_two_walks_pushed_apart_all_the_time_reach_the_bound(walk: Walk) -> None:
    """Then θ_T is Gaussian on both sides; its means are Δ deviations apart for σ = 1, step by step."""
    here, there, variance = walk.radius, -walk.radius, 0.0
    for _ in range(walk.steps):
        here -= walk.learning_rate * (-walk.clip + walk.decay * here)
        there -= walk.learning_rate * (walk.clip + walk.decay * there)
        variance = walk.contraction**2 * variance + 1

    assert (here - there) / variance**0.5 == pytest.approx(walk.sensitivity)


def test_epsilon_by_hand() -> None:
    """ρ = 1, δ = e⁻²: ½ + √4."""
    assert epsilon_of(1.0, exp(-2)) == pytest.approx(2.5)


@pytest.mark.parametrize("ratio", [0.01, 0.2, 1.0, 6.0])
def test_epsilon_is_the_best_of_all_orders(ratio: float) -> None:
    delta = 1e-5
    orders = [1 + 10 ** (k / 1000) for k in range(-3000, 5000)]
    best = min(alpha * ratio**2 / 2 + log(1 / delta) / (alpha - 1) for alpha in orders)

    assert epsilon_of(ratio, delta) == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("epsilon", [1e-9, 0.1, 1.0, 50.0])
def test_the_ratio_for_an_epsilon_gives_it_back(epsilon: float) -> None:
    assert epsilon_of(ratio_for(epsilon, 1e-5), 1e-5) == pytest.approx(epsilon, rel=1e-9)
