"""Method `scrub`: leave the teacher on D_f, follow it on D_r, in turns."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, cos, pi

import torch
from torch import Tensor, nn

from app.methods.scrub import ScrubParams
from worker.numerics.descent import Plan, descend
from worker.numerics.device import at_work
from worker.numerics.distillation import distillation
from worker.numerics.errors import EmptyExamples
from worker.numerics.evaluation import logits
from worker.numerics.examples import Batch, Examples
from worker.numerics.finetuning import kept, outnumbered
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Model, Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.run import Fact
from worker.numerics.training import cross_entropy
from worker.numerics.weights import Weights, network_with, weights_of

LEAST_BATCH, LARGEST_BATCH, STEPS = 32, 8192, 10
"""Of D_f by default: a tenth of it, within these bounds."""


def scrub(problem: Problem, params: ScrubParams) -> Outcome:
    """SCRUB: alternate a max step on D_f with a min step on D_r; the teacher is the deployed network, and stays.

        d(x) = τ² KL(p_old(x) ‖ p_θ(x)),   softened by τ
        in epoch 1, 2, …
            θ ← ascend  mean_{D_f} d                      in `max_epochs` of them, from the second on
            θ ← descend α·mean_{D_r} d + γ·CE(D_r)

    rewind (SCRUB+R): of the weights after each epoch, those whose error on D_f is nearest to the error that the last
    ones have on held-out samples in D_f's mix of classes; of equally near ones the latest.

    In the first epoch the student is the teacher: d is 0 and so is its gradient, and an ascent there would amplify
    rounding errors or, in train mode, the difference between a batch and the running statistics.

    A pass over D_f is about ten steps by default, however large it is: in batches of 32, three passes over 2,000
    samples left nothing of the networks of `benchmarks.field --search`.

    The ascent, whose objective has no bound, is clipped; it runs in eval mode, so that D_f does not write into the
    statistics of BatchNorm, which follow D_r. Momentum begins anew with every pass.

    Raises:
        EmptyExamples: D_f or D_r is empty, or nothing held out is of D_f's classes.
        ForgetsTooMuch: D_f is larger than D_r.
        NothingToDo: no weight, or no output on D_f, changed.
        NonFinite: it diverged.

    Source: Kurmanji et al. 2023, §3 and §3.3; the clipping and the first epoch without ascent are ours. Strengths,
    temperature and the number of ascents by default as in their code; with an α of .5 a class is held too well on the
    small network of `benchmarks.field`, and rate and epochs were tried there.
    """
    forget, retain = outnumbered(problem), kept(problem)
    recipe = required(problem.recipe, "the recipe")
    held_out = alike(required(problem.held_out, "held-out samples"), forget) if params.rewind else None
    teacher, network = (network_with(problem.build, problem.old) for _ in range(2))
    forget_batch_size = params.forget_batch_size or batch_of(len(forget))

    def distance(network: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad():
            taught = teacher(batch.inputs)
        return distillation(network(batch.inputs), taught, params.temperature)

    def leave(network: nn.Module, batch: Batch) -> Tensor:
        return -distance(network, batch)

    def follow(network: nn.Module, batch: Batch) -> Tensor:
        labels = params.label_strength * cross_entropy(network, batch)
        return (
            labels + params.distillation_strength * distance(network, batch) if params.distillation_strength else labels
        )

    lower = {"clip": params.clip}
    kept_by_epoch: list[Weights] = []
    for epoch in range(params.epochs):
        rate = params.rate_factor * recipe.learning_rate * (1 + cos(pi * epoch / params.epochs)) / 2
        plan = replace(Plan.of(recipe), learning_rate=rate, epochs=1, schedule="constant")
        ascent = replace(plan, batch_size=forget_batch_size, weight_decay=0.0, clip=params.clip, lower=lower)
        for step, feed, objective, how in (("max", forget, leave, ascent), ("min", retain, follow, plan)):
            if step == "max" and not 1 <= epoch <= params.max_epochs:
                continue
            with at_work(teacher):
                descend(
                    network,
                    feed,
                    objective,
                    how,
                    seed=derived(problem.seed, "scrub", step, epoch),
                    run=problem.run,
                    phase=f"{step}_{epoch + 1}",
                    train_mode=step == "min",
                )
        if held_out is not None or epoch + 1 == params.epochs:
            kept_by_epoch.append(weights_of(network))
    new, facts = kept_by_epoch[-1], dict[str, Fact]()
    if held_out is not None:
        new, facts = rewound(problem, kept_by_epoch, forget, held_out)
    return Outcome(
        felt(problem, changed(problem.old, new), forget),
        {
            "epochs": params.epochs,
            "max_epochs": params.max_epochs,
            "forget_batch_size": forget_batch_size,
            **facts,
        },
    )


def batch_of(forgotten: int) -> int:
    """How many samples of D_f are in a batch by default."""
    return min(LARGEST_BATCH, max(LEAST_BATCH, ceil(forgotten / STEPS)))


def alike(held_out: Examples, forget: Examples) -> Examples:
    """The held-out samples of D_f's classes.

    Raises:
        EmptyExamples: there are none.
    """
    found = held_out.where(torch.isin(held_out.labels, forget.labels))
    if not len(found):
        raise EmptyExamples("no held-out sample is of a class of D_f: go without rewind")
    return found


def rewound(
    problem: Problem, checkpoints: Sequence[Weights], forget: Examples, held_out: Examples
) -> tuple[Weights, dict[str, Fact]]:
    """The weights whose error on D_f is nearest to the last ones' on held-out samples; facts for the report."""
    last = checkpoints[-1]
    reference = error(problem, last, held_out, shares=forget.labels)
    errors = [error(problem, weights, forget, shares=forget.labels) for weights in checkpoints]
    chosen = min(reversed(range(len(errors))), key=lambda epoch: abs(errors[epoch] - reference))
    return checkpoints[chosen], {
        "rewound_to_epoch": chosen + 1,
        "held_out_error": reference,
        "forget_error": errors[chosen],
    }


def error(problem: Problem, weights: Weights, examples: Examples, *, shares: Tensor) -> float:
    """Share of wrong answers if the classes were mixed as they are among the labels `shares`.

    Σ_c n_c err_c / Σ_c n_c     c: classes among the examples, n_c: how often a class is in `shares`
    """
    answers = logits(Model(problem.build, weights), examples, run=problem.run)
    wrong = (answers.argmax(1) != examples.labels).double()
    counts, wanted = (labels.bincount(minlength=problem.classes) for labels in (examples.labels, shares))
    of_class = torch.zeros(problem.classes, dtype=torch.float64).index_add(0, examples.labels, wrong) / counts.clamp(1)
    mix = wanted * (counts > 0)
    return float((mix * of_class).sum() / mix.sum())
