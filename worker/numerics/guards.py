"""What must hold before any result of a method is handed on."""

import torch

from worker.numerics.errors import Misfit, NonFinite, NothingToDo
from worker.numerics.evaluation import logits
from worker.numerics.examples import Examples
from worker.numerics.outcome import Model
from worker.numerics.problem import Problem
from worker.numerics.weights import Weights


def changed(old: Weights, new: Weights) -> Weights:
    """The new weights, if they are finite and at least one entry is another than before.

    Raises:
        Misfit: names or shapes differ.
        NonFinite: a NaN or an infinity; the tensor is named. Only of a closed form: `descend` refuses it with step and
            loss.
        NothingToDo: every tensor is bit for bit the old one.
    """
    if old.keys() != new.keys() or any(old[name].shape != tensor.shape for name, tensor in new.items()):
        raise Misfit("the method returned tensors of other names or shapes than it was given")
    for name, tensor in new.items():
        if lost := int((~tensor.isfinite()).sum()):
            raise NonFinite(
                f"{lost} of {tensor.numel()} entries of {name} are not finite after the method: it was asked for a"
                " change that float32 cannot hold; ask for a smaller one, or take another method"
            )
    if all(torch.equal(old[name], tensor) for name, tensor in new.items()):
        raise NothingToDo("the method changed no weight: raise its learning rate, epochs or fraction")
    return new


def felt(problem: Problem, new: Weights, examples: Examples) -> Weights:
    """The new weights, if at least one output on the examples is another than the deployed model's.

    Raises:
        NothingToDo: weights changed, but none that these examples' outputs depend on.
    """
    before, after = (logits(Model(problem.build, w), examples, run=problem.run) for w in (problem.old, new))
    if torch.equal(before, after):
        raise NothingToDo("the selected weights do not touch any output on D_f: select a larger fraction")
    return new
