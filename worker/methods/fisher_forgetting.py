"""Method `fisher_forgetting`: drown in noise what D_r does not need."""

import torch
from torch import Tensor

from app.methods.fisher_forgetting import FisherForgettingParams
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.weights import network_with


def fisher_forgetting(problem: Problem, params: FisherForgettingParams) -> Outcome:
    """One noisy step: no training, no D_r.

        θ′ = θ + σ n,   σ = min((λσ_h² / F_Dr)^(1/4), σ_max),   n ~ N(0, 1)

    F_Dr is the stored diagonal without D_f's part. Every weight has noise of its own, drawn by its tensor's name. It
    forgets what D_r does not hold in place; with the diagonal that is little: on validation data (small CNN,
    Fashion-MNIST) D_f and the rest fall together, and the defaults are the most noise that costs the rest 3 points.

    Raises:
        EmptyExamples: D_f is all there is.

    Source: Golatkar et al. 2020, §5; the limit, without which dead weights get infinite noise, is their code's.
    """
    forget, stored = required(problem.forget, "D_f"), required(problem.fisher, "the stored Fisher")
    network = network_with(problem.build, problem.old)
    forget_fisher = fisher_diagonal(network, forget, run=problem.run, phase="fisher_forget")
    retain_fisher = stored.minus(forget_fisher)
    sigma = {
        name: deviation(f, noise=params.noise, largest=params.largest_deviation)
        for name, f in retain_fisher.diagonal().items()
    }
    new = {
        name: noisy(theta, sigma[name], seed=derived(problem.seed, "fisher_forgetting", name))
        if name in sigma
        else theta.clone()
        for name, theta in problem.old.items()
    }
    every = torch.cat([s.flatten() for s in sigma.values()])
    return Outcome(
        changed(problem.old, new),
        {
            "median_deviation": float(every.median()),
            "largest_deviation": float(every.max()),
            "limited_fraction": float((every == params.largest_deviation).double().mean()),
            "fisher_below_noise_floor": retain_fisher.below_noise_floor,
        },
    )


def deviation(fisher: Tensor, *, noise: float, largest: float) -> Tensor:
    """Standard deviation of the noise: its variance goes with F^(−1/2).

        σ = min((λσ_h² / F)^(1/4), σ_max),   σ_max where F = 0

    Args:
        fisher: F ≥ 0, float64, any shape.
        noise: λσ_h² > 0.
        largest: σ_max > 0.

    Returns:
        σ, same shape.
    """
    return (noise / fisher).pow(0.25).clamp(max=largest)


def noisy(theta: Tensor, sigma: Tensor, *, seed: int) -> Tensor:
    """Add noise: θ + σ n, n drawn from the seed; same shape and type as θ."""
    n = torch.randn(theta.shape, generator=torch.Generator().manual_seed(seed), dtype=sigma.dtype)
    return (theta + sigma * n).to(theta.dtype)
