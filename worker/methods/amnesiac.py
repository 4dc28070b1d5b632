"""Method `amnesiac`: take back the training steps that saw D_f."""

from torch import nn

from app.methods.amnesiac import AmnesiacParams
from worker.numerics.descent import descend
from worker.numerics.errors import EmptyExamples, NothingToDo
from worker.numerics.finetuning import fine_tuning, kept
from worker.numerics.guards import changed
from worker.numerics.jacobian import moved
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.run import Fact
from worker.numerics.training import with_augmentation
from worker.numerics.weights import network_with, weights_of


def amnesiac(problem: Problem, params: AmnesiacParams) -> Outcome:
    """Subtract what the batches with a sample of D_f did, then repair.

        θ ← θ_old − Σ_{b : b ∩ D_f ≠ ∅} Δθ_b                     b: the recorded batches that θ_old still contains
        θ ← descend L(D_r) from there, for the epochs of the repair      L: the recipe's loss

    Every batch subtracted, θ is θ₀ up to rounding; none, θ_old bit for bit. Buffers stay: the running variance of a
    BatchNorm less some of its steps can be negative; the repair renews them.

    Nothing is exact about it: the batches that stay were stepped from weights that had seen D_f, and momentum carried
    its gradients into them.

    Raises:
        EmptyExamples: D_f or, where it is repaired, D_r is empty.
        NothingToDo: no batch that is still contained holds a sample of D_f.
        NonFinite: the repair diverged.

    Source: Graves et al. 2021, §4.2.
    """
    forget, deltas = required(problem.forget, "D_f"), required(problem.deltas, "the recorded deltas")
    if not len(forget):
        raise EmptyExamples("D_f is empty, so there is nothing to forget: name other samples")
    steps = deltas.seeing(forget.positions)
    if not steps:
        raise NothingToDo("no recorded batch that these weights still contain holds a sample of D_f: retrain instead")
    network = network_with(problem.build, problem.old)
    size = sum(theta.numel() for theta in network.parameters())
    network.load_state_dict(moved(problem.old, network, -deltas.total(steps, size, run=problem.run)))
    contained = len(deltas.positions) - len(deltas.taken)
    facts: dict[str, Fact] = {"batches": contained, "batches_taken_back": len(steps)}
    if params.repair_epochs:
        facts |= _repair(network, problem, params)
    return Outcome(changed(problem.old, weights_of(network)), facts)


def _repair(network: nn.Module, problem: Problem, params: AmnesiacParams) -> dict[str, Fact]:
    examples, recipe = kept(problem), required(problem.recipe, "the recipe")
    plan = fine_tuning(recipe, rate_factor=params.rate_factor, epochs=params.repair_epochs)
    objective = with_augmentation(recipe, examples.normalisation)
    seed = derived(problem.seed, "amnesiac")
    descend(network, examples, objective, plan, seed=seed, run=problem.run, phase="repair", train_mode=True)
    return {"samples": len(examples), "epochs": plan.epochs, "learning_rate": plan.learning_rate}
