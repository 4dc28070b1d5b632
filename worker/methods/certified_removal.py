"""Method `certified_removal`: a Newton step of the head, with a proof for the head."""

import torch
from torch import Tensor

from app.methods.certified_removal import CertifiedRemovalParams
from worker.numerics.accounting import ratio_for
from worker.numerics.errors import EmptyExamples, NotConverged, TooLarge
from worker.numerics.guards import changed
from worker.numerics.head import Head, head_inputs, head_of
from worker.numerics.newton import (
    MULTINOMIAL,
    ONE_VS_REST,
    Objective,
    hessian_entries,
    objective,
    optimum,
    removed,
)
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.run import Fact
from worker.numerics.weights import Weights, network_with

LOSSES = {"one_vs_rest": ONE_VS_REST, "multinomial": MULTINOMIAL}


def certified_removal(problem: Problem, params: CertifiedRemovalParams) -> Outcome:
    """Newton step of the head on the frozen features.

        L(W; D) = Σ_D (ℓ(W h(x), y) + λ/2 ‖W‖²) + ⟨b, W⟩,   b ~ N(0, σ²I),   h: the layers below
        W* = argmin L(·; D)
        W⁻ = W* + H⁻¹_{D_r} Δ,   Δ = ∇L(W*; D_f) without b      then Newton steps on L(·; D_r) while it must be
        ‖∇L(W⁻; D_r)‖ ≤ ε′ = σρ,   ρ of ε and δ   (`ratio_for`)

    The theorem speaks of W*, and the deployed head was trained otherwise: W* replaces it first. The gradient is taken
    at the weights as they are stored, rounded. A W⁻ with that gradient is the exact optimum on D_r for another b, no
    further than ε′ away, and (ε, δ) is what a shift of ε′ costs under N(0, σ²I). The bound is enforced: where it does
    not hold after `steps`, there is no result. With σ = 0 there is one step and no bound.

    What this proves nothing about: the layers below, which learned from D_f and stay as they were.

    Raises:
        EmptyExamples: D_f or D_r is empty.
        Misfit: the answer is not that of a linear layer.
        NotConverged: the gradient stays above ε′.
        TooLarge: the Hessian has more entries than allowed.

    Source: Guo et al. 2020, §3; their bound of the gradient is replaced by the gradient, which is known here, and their
        Gaussian accounting (Theorem 3) by one that holds for every ε.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    if not len(forget) or not len(retain):
        raise EmptyExamples("D_f or D_r is empty: there is nothing to take out, or nothing to keep")
    network = network_with(problem.build, problem.old)
    head = head_of(network, retain)
    start, loss = head.matrix(problem.old), LOSSES[params.loss]
    refuse_large(hessian_entries(loss, *start.shape), params)
    kept_inputs, lost_inputs = (
        head_inputs(network, head, examples, run=problem.run, phase=phase)
        for phase, examples in (("features_retain", retain), ("features_forget", forget))
    )
    b = tilt(start, params.noise, seed=derived(problem.seed, "certified_removal"))
    everything = torch.cat([kept_inputs, lost_inputs]), torch.cat([retain.labels, forget.labels])
    whole = objective(loss, *everything, strength=params.strength, tilt=b)
    kept = objective(loss, kept_inputs, retain.labels, strength=params.strength, tilt=b)
    lost = objective(loss, lost_inputs, forget.labels, strength=params.strength, tilt=torch.zeros_like(b))
    fitted, fit_steps = optimum(whole, start, run=problem.run, phase="fit")
    budget = params.noise * ratio_for(params.epsilon, params.delta) if params.noise else torch.inf
    new, residuals = taken_out(problem, head, fitted, kept, lost, budget=budget, steps=params.steps)
    return Outcome(
        changed(problem.old, new),
        {
            "certified_part": certified_part(problem.old, head),
            **claim(params, budget),
            "gradient_norm": residuals[-1],
            "gradient_norm_after_first_step": residuals[0],
            "gradient_norm_before": float(kept.gradient(fitted).norm()),
            "newton_steps": len(residuals),
            "fit_steps": fit_steps,
            "refitted_by": float((fitted - start).norm() / start.norm()),
            "samples": len(retain),
        },
    )


def taken_out(
    problem: Problem, head: Head, fitted: Tensor, kept: Objective, lost: Objective, *, budget: float, steps: int
) -> tuple[Weights, list[float]]:
    """The weights after as many Newton steps as the budget asks for, and ‖∇L(·; D_r)‖ after each.

    Raises:
        NotConverged: it exceeds the budget after all of them.
    """
    new = head.put(problem.old, removed(fitted, kept, lost))
    residuals: list[float] = []
    for step in range(1, steps + 1):
        problem.run.progress("remove", step, steps, "steps")
        w = head.matrix(new)
        gradient = kept.gradient(w)
        residuals.append(float(gradient.norm()))
        if residuals[-1] <= budget:
            return new, residuals
        if step < steps:
            new = head.put(problem.old, w - kept.divided(w, gradient))
    raise NotConverged(
        f"the gradient on D_r is {residuals[-1]:.3g} after {steps} Newton steps, and ε allows {budget:.3g}:"
        " raise steps, σ or ε"
    )


def tilt(like: Tensor, noise: float, *, seed: int) -> Tensor:
    """The random linear term b ~ N(0, σ²I), shaped like the head."""
    return noise * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


def certified_part(weights: Weights, head: Head) -> str:
    """What the proof is about, for the report."""
    own = {head.weight, head.bias}
    if weights.keys() <= own:
        return "all weights: the network is one linear layer"
    return f"{head.weight.rpartition('.')[0] or 'the last layer'} alone; the layers below still know D_f"


def claim(params: CertifiedRemovalParams, budget: float) -> dict[str, Fact]:
    """What is proven, for the report."""
    if not params.noise:
        return {"claim": "none: the head was fitted without noise"}
    return {
        "claim": "(ε, δ)-certified removal from the part named",
        "epsilon": params.epsilon,
        "delta": params.delta,
        "sigma": params.noise,
        "gradient_budget": budget,
    }


def refuse_large(entries: int, params: CertifiedRemovalParams) -> None:
    """Nothing, if the Hessian is allowed to have as many entries.

    Raises:
        TooLarge: it is not.
    """
    if entries > params.largest_hessian:
        raise TooLarge(
            f"the Hessian of the head would have {entries:,} entries of 8 bytes, and {params.largest_hessian:,} are"
            " allowed: use the loss one_vs_rest, or raise largest_hessian if the memory is there"
        )
