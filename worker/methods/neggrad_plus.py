"""Method `neggrad_plus`: climb the loss on D_f while descending that on D_r."""

from dataclasses import replace

from torch import Tensor, nn

from app.methods.neggrad_plus import NeggradPlusParams
from worker.numerics.cycling import side_by_side
from worker.numerics.descent import Plan, descend
from worker.numerics.examples import Batch
from worker.numerics.finetuning import fine_tuning, kept, outnumbered
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with, weights_of

SCATTERED, COHERENT = (0.8, 1.0), (0.99, 0.3)
"""α and rate by default. Measured on validation data (small CNN, Fashion-MNIST), one epoch: random samples fall from
.968 to .913 (retraining .898) and held-out data from .886 to .879 (.874); a class falls to 0, the others stay at .895
(.896). What has much in common is climbed fast: with α .95 a class costs the others .02 to .07. For a backdoor the
values of a class are taken, unmeasured."""


def neggrad_plus(problem: Problem, params: NeggradPlusParams) -> Outcome:
    """NegGrad+: as many samples of D_f as of D_r in every step, one against the other.

        L = α·CE(D_r) − (1−α)·CE(D_f)                    pattern A
        L = α·CE(D_r ∪ D_f,clean) − (1−α)·CE(D_f)        pattern B

    L has no lower bound, so its gradient is clipped. In train mode: the running statistics of BatchNorm follow both
    sets.

    Raises:
        EmptyExamples: D_f or D_r is empty.
        ForgetsTooMuch: D_f is larger than what is kept.
        NothingToDo: no weight, or no output on D_f, changed.
        NonFinite: it diverged.

    Source: Kurmanji et al. 2023, §4 (NegGrad+); the clipping is ours.
    """
    forget, retain = outnumbered(problem), kept(problem)
    recipe = required(problem.recipe, "the recipe")
    network = network_with(problem.build, problem.old)
    usual_alpha, usual_factor = SCATTERED if problem.scattered else COHERENT
    alpha = params.retain_strength or usual_alpha
    factor = params.rate_factor or usual_factor
    plan: Plan = replace(
        fine_tuning(recipe, rate_factor=factor, epochs=params.epochs), clip=params.clip, lower={"clip": params.clip}
    )

    def objective(network: nn.Module, retain: Batch, forget: Batch) -> Tensor:
        return alpha * cross_entropy(network, retain) - (1 - alpha) * cross_entropy(network, forget)

    steps = descend(
        network,
        side_by_side(retain, forget),
        objective,
        plan,
        seed=problem.seed,
        run=problem.run,
        phase="forget",
        train_mode=True,
    )
    return Outcome(
        felt(problem, changed(problem.old, weights_of(network)), forget),
        {
            "retain_strength": alpha,
            "steps": steps,
            "epochs": plan.epochs,
            "learning_rate": plan.learning_rate,
            "retain_samples": len(retain),
            "forget_samples": len(forget),
        },
    )
