"""What must hold before any result of a method is handed on."""

import torch

from worker.numerics.errors import Misfit, NonFinite, NothingToDo
from worker.numerics.weights import Weights


def changed(old: Weights, new: Weights) -> Weights:
    """The new weights, if they are finite and at least one entry is another than before.

    Raises:
        Misfit: names or shapes differ.
        NonFinite: a NaN or an infinity; the tensor is named.
        NothingToDo: every tensor is bit for bit the old one.
    """
    if old.keys() != new.keys() or any(old[name].shape != tensor.shape for name, tensor in new.items()):
        raise Misfit("the method returned tensors of other names or shapes than it was given")
    for name, tensor in new.items():
        if not tensor.isfinite().all():
            raise NonFinite(f"{name} is not finite after the method: lower the learning rate or the forget strength")
    if all(torch.equal(old[name], tensor) for name, tensor in new.items()):
        raise NothingToDo("the method changed no weight: raise its learning rate, epochs or fraction")
    return new
