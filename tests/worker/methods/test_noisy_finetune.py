"""Method `noisy_finetune`: the walk that the proof is about is the walk that is taken."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from app.methods.noisy_finetune import NoisyFinetuneParams
from worker.methods.noisy_finetune import noisy_finetune, norm
from worker.numerics.accounting import epsilon_of
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.problem import Pattern, Problem
from worker.numerics.randomness import derived, drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.weights import Weights, network_with, weights_of

ONLY_NOISE = NoisyFinetuneParams(epochs=0, steps=100)


def flat(weights: Weights) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in weights.values()])


def test_the_noise_is_that_of_the_formula(problems: dict[Pattern, Problem]) -> None:
    """ε_of(Δ/σ) is the ε asked for; Δ by hand: c = 1 − .1·2 = .8, T = 3, S₁ = 2.44, S₂ = 2.0496."""
    params = NoisyFinetuneParams(epsilon=2, delta=1e-3, steps=3, radius=5, clip=0.4, decay=2, epochs=0)
    facts = noisy_finetune(problems["A"], params).facts

    assert facts["sensitivity"] == pytest.approx(2 * (0.512 * 5 + 0.1 * 0.4 * 2.44) / 2.0496**0.5)
    assert epsilon_of(float(facts["sensitivity"]) / float(facts["sigma"]), 1e-3) == pytest.approx(2)
    assert facts["noise_per_weight"] == pytest.approx(float(facts["sigma"]) * 2.0496**0.5)


def test_a_step_scales_clips_decays_and_adds_noise(problems: dict[Pattern, Problem]) -> None:
    """All but the noise by hand; then the noise, 123 draws of N(0, σ²), is what is over."""
    problem = replace(problems["A"], recipe=Recipe(learning_rate=0.1, epochs=8, batch_size=1000))
    assert problem.retain
    params = NoisyFinetuneParams(epsilon=1e6, steps=1, radius=2, clip=0.01, decay=3, epochs=0)
    start = {name: theta * (2 / flat(problem.old).norm()) for name, theta in problem.old.items()}
    network = network_with(problem.build, start)
    (batch,) = problem.retain.batches(1000)
    loss = cross_entropy(network(batch.inputs), batch.labels)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])
    assert gradient.norm() > 0.01
    expected = flat(start) - 0.1 * (gradient * (0.01 / gradient.norm()) + 3 * flat(start))

    outcome = noisy_finetune(problem, params)

    noise, sigma = flat(outcome.weights) - expected, float(outcome.facts["sigma"])
    assert sigma < 0.01
    assert noise.std().item() == pytest.approx(sigma, rel=4 / (2 * 123) ** 0.5)
    assert abs(noise.mean().item()) < 4 * sigma / 123**0.5
    assert outcome.facts["left_of_old_weights"] == pytest.approx(0.7 * 2 / flat(problem.old).norm().item(), rel=1e-5)


def test_a_step_remembers_nothing_of_the_one_before(problems: dict[Pattern, Problem]) -> None:
    """With almost no gradient the weights only decay, .7³ in three steps; momentum would take them through zero."""
    problem = problems["A"]
    params = NoisyFinetuneParams(epsilon=1e6, steps=3, radius=2, clip=1e-6, decay=3, epochs=0)
    outcome = noisy_finetune(problem, params)

    expected = 0.7**3 * 2 * flat(problem.old) / flat(problem.old).norm()
    noise = float(outcome.facts["noise_per_weight"]) * 123**0.5
    assert (flat(outcome.weights) - expected).norm().item() < 1.5 * noise < 0.02


def test_where_it_started_cannot_be_seen(problems: dict[Pattern, Problem]) -> None:
    """The proof in numbers: two opposite starts end no further apart than `distance`, the noise being the same."""
    problem = problems["A"]
    opposite = replace(problem, old={name: -theta for name, theta in problem.old.items()})
    one, other = (noisy_finetune(p, ONLY_NOISE) for p in (problem, opposite))

    apart = (flat(one.weights) - flat(other.weights)).norm().item()
    assert 0 < apart <= float(one.facts["sensitivity"]) * 10 * (1 + 1e-3)  # √S₂ = √100
    assert apart < 0.05 * flat(one.weights).norm().item()


def test_by_default_the_noise_is_as_large_as_a_fresh_network(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    fresh = norm(problem.build(derived(problem.seed, "radius")))
    for params in (ONLY_NOISE, ONLY_NOISE.model_copy(update={"decay": 0.5, "epsilon": 7.0, "steps": 9})):
        facts = noisy_finetune(problem, params).facts

        assert float(facts["noise_per_weight"]) * 123**0.5 == pytest.approx(fresh)


def test_the_radii_do_not_depend_on_the_deployed_weights(problems: dict[Pattern, Problem]) -> None:
    """They would tell what must not be told."""
    problem = problems["A"]
    larger = replace(problem, old={name: 3 * theta for name, theta in problem.old.items()})
    first, second = (noisy_finetune(p, ONLY_NOISE).facts for p in (problem, larger))

    for name in ("radius", "clip", "sigma"):
        assert first[name] == second[name]


def test_a_small_epsilon_needs_more_noise_for_the_same_radii(problems: dict[Pattern, Problem]) -> None:
    strict, loose = (
        noisy_finetune(problems["A"], NoisyFinetuneParams(epsilon=epsilon, radius=1, clip=1)).facts["sigma"]
        for epsilon in (0.5, 5.0)
    )

    assert float(strict) > 5 * float(loose)


def test_the_fine_tuning_after_the_noise_learns_what_is_kept(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain
    (batch,) = problem.retain.batches(1000)

    def right(epochs: int) -> float:
        weights = noisy_finetune(problem, NoisyFinetuneParams(epochs=epochs)).weights
        return float((network_with(problem.build, weights)(batch.inputs).argmax(1) == batch.labels).float().mean())

    assert right(0) < 0.8
    assert right(10) > 0.9


def test_where_a_feature_is_forgotten_the_clean_samples_are_kept(problems: dict[Pattern, Problem]) -> None:
    assert noisy_finetune(problems["C"], NoisyFinetuneParams()).facts["samples"] == 120


def test_a_decay_that_overshoots_is_refused(problems: dict[Pattern, Problem]) -> None:
    with pytest.raises(Misfit, match="lower λ"):
        noisy_finetune(problems["A"], NoisyFinetuneParams(decay=10))


def test_statistics_of_the_data_are_refused(problems: dict[Pattern, Problem]) -> None:
    def build(seed: int) -> nn.Module:
        with drawn_from(seed):
            return nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))

    trained = build(1)
    trained.get_buffer("1.running_mean").add_(1)

    with pytest.raises(Misfit, match="running_mean"):
        noisy_finetune(replace(problems["A"], build=build, old=weights_of(trained)), NoisyFinetuneParams())


def test_nothing_to_keep_is_refused(problems: dict[Pattern, Problem]) -> None:
    problem = problems["A"]
    assert problem.retain
    with pytest.raises(EmptyExamples, match="D_r"):
        noisy_finetune(replace(problem, retain=problem.retain.at(torch.arange(0))), NoisyFinetuneParams())
