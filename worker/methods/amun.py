"""Method `amun`: learn the labels of the closest adversarial examples of D_f."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.methods.amun import AmunParams
from worker.numerics.concatenation import concatenated
from worker.numerics.descent import descend
from worker.numerics.device import beside, working
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.finetuning import fine_tuning, kept, outnumbered
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.run import Run
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of

BATCH = 256
STEP = 2.5
"""Length of a step of the attack, in distances divided by steps: enough to reach the border and move along it."""


def amun(problem: Problem, params: AmunParams) -> Outcome:
    """Adversarial unlearning: D_f's true labels are left out, its neighbours across the boundary are learned.

        D_A = {(x + δ, f_old(x + δ)) : x ∈ D_f},   δ of the first ε, 2ε, 4ε, … at which f_old(x + δ) ≠ y   (`closest`)
        θ ← descend CE(D_r ∪ D_A) from θ_old       or CE(D_A), without D_r

    D_A is held in memory, as D_f in float32. In train mode: the running statistics of BatchNorm follow all that is
    trained on.

    Raises:
        EmptyExamples: D_f is empty, or D_r where it is used.
        ForgetsTooMuch: D_f is larger than D_r.
        NothingToDo: no sample could be made to be mistaken, or no weight, or no output on D_f, changed.
        NonFinite: it diverged.

    Source: Ebrahimpour-Boroojeny et al. 2025, Algorithm 1; 50 steps of the attack as there. Rate and epochs, which the
    paper searches for, were tried on the small network of `benchmarks.field`.
    """
    forget = outnumbered(problem) if params.use_retain else required(problem.forget, "D_f")
    recipe = required(problem.recipe, "the recipe")
    if not len(forget):
        raise EmptyExamples("D_f is empty, so there is nothing to forget: name other samples")
    network = network_with(problem.build, problem.old)
    adversarial, distance = closest(network, forget, params, run=problem.run)
    examples = concatenated(adversarial, kept(problem)) if params.use_retain else adversarial
    plan = fine_tuning(recipe, rate_factor=params.rate_factor, epochs=params.epochs)
    descend(network, examples, cross_entropy, plan, seed=problem.seed, run=problem.run, phase="forget", train_mode=True)
    return Outcome(
        felt(problem, changed(problem.old, weights_of(network)), forget),
        {
            "adversarial": len(adversarial),
            "not_fooled": len(forget) - len(adversarial),
            "mean_distance": distance,
            "samples": len(examples),
            "epochs": plan.epochs,
            "learning_rate": plan.learning_rate,
        },
    )


@working
def closest(network: nn.Module, forget: Examples, params: AmunParams, *, run: Run) -> tuple[TensorExamples, float]:
    """D_A, with the positions of the samples that it comes from, and its mean distance from them.

    A sample that is mistaken as it is stays as it is, with the wrong label that it has.

    Raises:
        NothingToDo: none is mistaken within the largest distance.
    """
    normalise = forget.normalisation
    found, labels, positions, lengths, done = [], [], [], [], 0
    for x, y, position in beside(network, forget.unnormalised().batches(BATCH)):
        z = x.clone()
        with torch.no_grad():
            answers = network(normalise(x)).argmax(1)
        for attempt in range(params.doublings + 1):
            right = (answers == y).nonzero().flatten()
            if not len(right):
                break
            z[right] = attacked(
                lambda inputs: network(normalise(inputs)),
                x[right],
                y[right],
                radius=params.radius * 2**attempt,
                steps=params.attack_steps,
            )
            with torch.no_grad():
                answers[right] = network(normalise(z[right])).argmax(1)
        fooled = answers != y
        found.append(z[fooled].cpu())
        labels.append(answers[fooled].cpu())
        positions.append(position[fooled.cpu()])
        lengths.append((z - x)[fooled].flatten(1).norm(dim=1).cpu())
        done += len(y)
        run.progress("attack", done, len(forget), "samples")
    if not sum(map(len, labels)):
        raise NothingToDo("no sample of D_f is mistaken within the largest distance: raise radius or doublings")
    examples = TensorExamples(torch.cat(found), torch.cat(labels), torch.cat(positions), normalise)
    return examples, float(torch.cat(lengths).mean())


def attacked(
    network: Callable[[Tensor], Tensor], inputs: Tensor, labels: Tensor, *, radius: float, steps: int
) -> Tensor:
    """Projected gradient ascent on the loss, from the inputs, within a distance of them.

        z ← Π(z + 2.5 ε/K · g/‖g‖),   g = −∇_z m(z),   m = z_y − log Σ_{j≠y} exp z_j       K steps
        Π: to within ε (L2) of the input; images also into [0, 1]

    −m rises in the direction in which cross entropy, log(1 + e^(−m)), does, and still does where that one's gradient is
    too small for its float.

    Args:
        network: raw inputs to logits.
        inputs: x, `(B, *S)`.
        labels: y, `(B,)`.
        radius: ε.
        steps: K.

    Source: Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, 2018.
    """
    one = (-1,) + (1,) * (inputs.dim() - 1)
    z = inputs
    for _ in range(steps):
        z = z.detach().requires_grad_()
        logits = network(z)
        others = logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
        (g,) = torch.autograd.grad((others - logits.gather(1, labels[:, None]).squeeze(1)).sum(), z)
        delta = z.detach() + STEP * radius / steps * g / norm(g).view(one) - inputs
        z = inputs + delta * (radius / norm(delta)).clamp(max=1).view(one)
        z = z.clamp(0, 1) if inputs.dim() == 4 else z
    return z


def norm(inputs: Tensor) -> Tensor:
    """‖·‖ of every sample, `(B,)`; nowhere 0, so that it can be divided by."""
    length: Tensor = torch.linalg.vector_norm(inputs.flatten(1), dim=1)
    return length.clamp(min=1e-12)
