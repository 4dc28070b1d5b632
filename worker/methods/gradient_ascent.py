"""Method `gradient_ascent`: climb the loss on D_f."""

from math import log

from torch import Tensor, nn

from app.methods.gradient_ascent import GradientAscentParams
from worker.numerics.descent import Plan, descend
from worker.numerics.errors import NothingToDo
from worker.numerics.evaluation import logits, per_sample_loss
from worker.numerics.examples import Batch
from worker.numerics.guards import changed
from worker.numerics.outcome import Model, Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of


def gradient_ascent(problem: Problem, params: GradientAscentParams) -> Outcome:
    """The reverse of training, on D_f, no further than to the loss of chance.

        g = ∇_θ CE(D_f)
        θ ← θ + η·g·min(1, clip/‖g‖)     until CE(D_f) ≥ ln C, or the given loss, or the steps run out

    Where a batch's loss has reached the target, all of D_f is asked, and only its mean decides; batches that are easier
    than the rest may let it go a few steps on. In eval mode: the statistics of BatchNorm stay as they are, and D_f does
    not write into them a last time.

    No term holds the rest of the data; how much of it is lost, the audit says. A network that never saw the *samples*
    has a loss on them far below ln C, that of held-out data: for samples, give that as `stop_loss`. The rate is
    measured on validation data (small CNN, Fashion-MNIST): from a class, 22 steps take .97 to .24 at a cost of .01 on
    the others; from samples, ln C costs .17, stopping at the held-out loss .04. A third of the rate ends at the same
    weights but for a point; three times the rate overshoots.

    Raises:
        NothingToDo: the loss is there from the start, or no weight changed.
        NonFinite: it diverged.

    Source: Thudi et al. 2022; Golatkar et al. 2020, the baseline "negative gradient". Bounds and stop: ours.
    """
    forget = required(problem.forget, "D_f")
    target = log(problem.classes) if params.stop_loss is None else params.stop_loss
    network = network_with(problem.build, problem.old)

    def forgotten(network: nn.Module, loss: float) -> bool:
        return -loss >= target and loss_on_forget(problem, network) >= target

    before = loss_on_forget(problem, network)
    if before >= target:
        raise NothingToDo(f"the loss on D_f is {before:.4g} already, not below {target:.4g}: raise the stop_loss")
    plan = Plan(
        params.learning_rate,
        batch_size=params.batch_size,
        momentum=params.momentum,
        clip=params.clip,
        lower={"clip": params.clip},
        steps=params.steps,
    )
    steps = descend(network, forget, ascent, plan, seed=problem.seed, run=problem.run, phase="forget", until=forgotten)
    new = changed(problem.old, weights_of(network))
    after = loss_on_forget(problem, network)
    return Outcome(
        new,
        {
            "steps": steps,
            "stopped_by": "loss" if after >= target else "steps",
            "stop_loss": target,
            "loss_on_forget_before": before,
            "loss_on_forget": after,
        },
    )


def ascent(network: nn.Module, batch: Batch) -> Tensor:
    """−CE: to descend it is to climb the loss."""
    return -cross_entropy(network, batch)


def loss_on_forget(problem: Problem, network: nn.Module) -> float:
    """Mean cross entropy over all of D_f."""
    forget = required(problem.forget, "D_f")
    answers = logits(Model(problem.build, weights_of(network)), forget, run=problem.run)
    return float(per_sample_loss(answers, forget.labels).mean())
