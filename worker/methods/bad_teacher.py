"""Method `bad_teacher`: on D_f learn from a network that knows nothing, on D_r from the deployed one."""

import torch
from torch import Tensor, nn

from app.methods.bad_teacher import BadTeacherParams
from worker.numerics.concatenation import concatenated
from worker.numerics.descent import Plan, descend
from worker.numerics.device import at_work
from worker.numerics.distillation import distillation
from worker.numerics.examples import Batch, Examples
from worker.numerics.finetuning import kept, outnumbered
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem
from worker.numerics.randomness import derived
from worker.numerics.relabelling import Relabelled
from worker.numerics.weights import network_with, weights_of


def bad_teacher(problem: Problem, params: BadTeacherParams) -> Outcome:
    """A student of two teachers: the deployed network, and one with fresh weights, which knows nothing.

        L = τ²/B Σₙ KL(p_η(xₙ) ‖ p_θ(xₙ))       xₙ ∈ D_f,   η: fresh weights
                    KL(p_old(xₙ) ‖ p_θ(xₙ))     xₙ ∈ a share of D_r, drawn once

    D_f and the share of D_r are shuffled into each other. In train mode: the running statistics of BatchNorm follow
    both. Where D_f is to be answered like held-out data, this goes too far: the fresh network is unsure of everything.

    Raises:
        EmptyExamples: D_f or D_r is empty.
        ForgetsTooMuch: D_f is larger than D_r.
        NothingToDo: no weight, or no output on D_f, changed.
        NonFinite: it diverged.

    Source: Chundawat et al. 2023, §4. Defaults: found by `benchmarks.search` for samples, rounded, and tried on more
    data (`benchmarks.field --search`); with the share of .3 and the one epoch of their code the rest loses more.
    """
    forget, share = outnumbered(problem), drawn(kept(problem), params.retain_fraction, seed=problem.seed)
    competent = network_with(problem.build, problem.old)
    ignorant = problem.build(derived(problem.seed, "bad_teacher")).eval()
    network = network_with(problem.build, problem.old)

    def objective(network: nn.Module, batch: Batch) -> Tensor:
        lost = batch.labels.bool()[:, None]  # who teaches: see `taught` below
        with torch.no_grad():
            answers = torch.where(lost, ignorant(batch.inputs), competent(batch.inputs))
        return distillation(network(batch.inputs), answers, params.temperature)

    taught = concatenated(
        Relabelled(forget, torch.ones_like(forget.labels)), Relabelled(share, torch.zeros_like(share.labels))
    )
    plan = Plan(
        params.learning_rate,
        epochs=params.epochs,
        batch_size=params.batch_size,
        schedule="cosine",
        optimizer="adam",
    )
    with at_work(competent, ignorant):
        steps = descend(
            network, taught, objective, plan, seed=problem.seed, run=problem.run, phase="forget", train_mode=True
        )
    return Outcome(
        felt(problem, changed(problem.old, weights_of(network)), forget),
        {"steps": steps, "forget_samples": len(forget), "retain_samples": len(share)},
    )


def drawn(examples: Examples, fraction: float, *, seed: int) -> Examples:
    """That share of the examples, at least one."""
    generator = torch.Generator().manual_seed(derived(seed, "share"))
    order = torch.randperm(len(examples), generator=generator)
    return examples.at(order[: max(1, round(fraction * len(examples)))])
