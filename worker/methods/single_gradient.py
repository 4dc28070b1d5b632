"""Method `single_gradient`: undo what D_f did to the first order in the rate."""

import torch
from torch import Tensor, nn

from app.methods.single_gradient import SingleGradientParams
from worker.numerics.device import beside, working
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.examples import Examples
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.recipe import Recipe
from worker.numerics.run import Fact, Run
from worker.numerics.sharding import Sharded
from worker.numerics.thrift import at_once
from worker.numerics.training import objective_of
from worker.numerics.weights import network_with

BATCH_SIZE = 512


def single_gradient(problem: Problem, params: SingleGradientParams) -> Outcome:  # noqa: ARG001 - the recipe has them all
    """One step up the loss on D_f, with the gradient where training began.

        θ ← θ + m·η/(B(1−β)) Σ_{x ∈ D_f} ∇ℓ(x; θ₀)     ℓ: the recipe's loss of one sample, in eval mode

    m is how often a sample was seen, once an epoch; η the mean rate of the schedule, half the peak for a cosine; B the
    batch size; β the momentum, by which a gradient moves the weights 1/(1−β) times as far in the end. Buffers stay.

    The paper's is plain SGD, β = 0 at a constant rate; the rest is the same first order of what the recipe does. Left
    out, and noted where the recipe has them: clipping, which shortened steps that are added back at full length; decay,
    which shortened what steps had done; augmentation, where the samples seen were others.

    Raises:
        EmptyExamples: D_f is empty.
        Misfit: the recipe trains by Adam, or the network is in shards.
        NonFinite: the step is not finite.
        NothingToDo: the gradient is zero.

    Source: Thudi et al. 2022, §4 (single-gradient unlearning).
    """
    forget, recipe = required(problem.forget, "D_f"), required(problem.recipe, "the recipe")
    network = network_with(problem.build, required(problem.initial, "the initial weights"))
    if isinstance(network, Sharded):
        raise Misfit("the network is in shards, each with a training of its own: use `sisa`")
    scale = rate_of_a_sample(recipe)
    gradients = summed_gradients(network, forget, recipe, run=problem.run)
    new = {
        name: theta + scale * gradients[name] if name in gradients else theta.clone()
        for name, theta in problem.old.items()
    }
    norm = float(torch.stack([g.norm() for g in gradients.values()]).norm())
    facts: dict[str, Fact] = {
        "samples": len(forget),
        "times_seen": recipe.epochs,
        "rate": scale,
        "step_norm": scale * norm,
    }
    left_out = [n for n in ("momentum", "clip", "weight_decay", "augmentation") if getattr(recipe, n)]
    if left_out:
        facts["beyond_plain_sgd"] = ", ".join(left_out)
    return Outcome(changed(problem.old, new), facts)


def rate_of_a_sample(recipe: Recipe) -> float:
    """m·η/(B(1−β)): how far training moved the weights along the gradient of one sample, to first order.

    Raises:
        Misfit: it trains by Adam, whose steps are not sums over samples.
    """
    if recipe.optimizer != "sgd":
        raise Misfit("the recipe trains by Adam, whose steps do not add up over samples: use another method")
    mean_rate = recipe.learning_rate * (0.5 if recipe.schedule == "cosine" else 1.0)
    return recipe.epochs * mean_rate / (recipe.batch_size * (1 - recipe.momentum))


@working
def summed_gradients(network: nn.Module, examples: Examples, recipe: Recipe, *, run: Run) -> dict[str, Tensor]:
    """Σ ∇ℓ over the examples, by parameter name, in the parameters' precision.

    Raises:
        EmptyExamples: there are none.
    """
    if not len(examples):
        raise EmptyExamples("D_f is empty, so there is nothing to forget: name other samples")
    objective, parameters = objective_of(recipe), dict(network.named_parameters())
    sums = {name: torch.zeros_like(theta) for name, theta in parameters.items()}
    done = 0
    for batch in beside(network, examples.batches(at_once(BATCH_SIZE))):
        loss = len(batch.labels) * objective(network, batch)
        found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        for name, g in zip(parameters, found, strict=True):
            sums[name].add_(g)
        done += len(batch.labels)
        run.progress("gradient", done, len(examples), "samples")
    return {name: total.cpu() for name, total in sums.items()}
