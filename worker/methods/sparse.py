"""Method `sparse`: fine-tuning that shrinks the weights."""

from dataclasses import replace

from app.methods.sparse import SparseParams
from worker.numerics.descent import descend
from worker.numerics.finetuning import fine_tuning, kept
from worker.numerics.guards import changed
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.training import cross_entropy
from worker.numerics.weights import Weights, network_with, weights_of

NEAR_ZERO = 1e-3
"""The share of weights below this in magnitude is reported: subgradient steps reach no exact zero."""


def sparse(problem: Problem, params: SparseParams) -> Outcome:
    """l1-sparse unlearning: what only D_f needs is not renewed, and shrinks away.

        θ ← descend CE(D_r) + α_t‖θ‖₁ from θ_old,   α_t = α (1 − t/T)     pattern A
        the same on D_r ∪ D_f,clean                                        patterns B, C

    α‖θ‖₁ is over all parameters, biases and normalisation included, by its subgradient α·sgn θ. In train mode: the
    running statistics of BatchNorm follow D_r.

    Raises:
        EmptyExamples: D_r is empty.
        NothingToDo: no weight changed.
        NonFinite: it diverged.

    Source: Jia et al. 2023, §4 (ℓ1-sparse MU with a decaying α). Defaults measured on validation data (small CNN,
    Fashion-MNIST): random samples fall from .968 to .923 (retraining .898), held-out data from .886 to .882 (.874),
    two thirds of the weights to near zero; a class falls to 0 with the others at .902 (.896). A third of the rate
    leaves samples at .953; α 1e-3 loses D_r and wins nothing.
    """
    examples, recipe = kept(problem), required(problem.recipe, "the recipe")
    network = network_with(problem.build, problem.old)
    plan = replace(fine_tuning(recipe, rate_factor=params.rate_factor, epochs=params.epochs), sparsity=params.sparsity)
    descend(
        network,
        examples,
        cross_entropy,
        plan,
        seed=problem.seed,
        run=problem.run,
        phase="fine_tune",
        train_mode=True,
    )
    new = changed(problem.old, weights_of(network))
    names = [name for name, _ in network.named_parameters()]
    return Outcome(
        new,
        {
            "samples": len(examples),
            "epochs": plan.epochs,
            "learning_rate": plan.learning_rate,
            "l1_norm_before": l1_norm(problem.old, names),
            "l1_norm": l1_norm(new, names),
            "near_zero_fraction_before": near_zero(problem.old, names),
            "near_zero_fraction": near_zero(new, names),
        },
    )


def l1_norm(weights: Weights, names: list[str]) -> float:
    """‖θ‖₁ over the parameters of these names."""
    return sum(float(weights[name].double().abs().sum()) for name in names)


def near_zero(weights: Weights, names: list[str]) -> float:
    """Share of their entries below `NEAR_ZERO` in magnitude."""
    small = sum(int((weights[name].abs() < NEAR_ZERO).sum()) for name in names)
    return small / sum(weights[name].numel() for name in names)
