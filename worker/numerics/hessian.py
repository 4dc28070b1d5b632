"""The sharpest direction of a loss: the top eigenvalue of its Hessian, by power iteration."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worker.numerics.descent import Objective
from worker.numerics.device import beside, working
from worker.numerics.errors import EmptyExamples, NonFinite
from worker.numerics.examples import Batch, Examples
from worker.numerics.randomness import derived
from worker.numerics.run import Quiet, Run
from worker.numerics.thrift import at_once

BATCH_SIZE = 512
STEPS = 200
TOLERANCE = 1e-4


@working
def top_eigenvalue(
    network: nn.Module,
    examples: Examples,
    objective: Objective,
    *,
    seed: int,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
    run: Run | None = None,
    phase: str = "hessian",
) -> float:
    """The eigenvalue of largest magnitude of H = ∇²_θ L, with its sign.

        v ← Hv / ‖Hv‖,   λ = vᵀHv      from a random direction, until λ changes by less than the tolerance of itself

    H is never formed: Hv = ∇(∇L·v), two backward passes a batch.

    Args:
        network: in eval mode; not written to.
        examples: N ≥ 1; L is the mean of the objective over them.
        objective: a mean over the batch.
        seed: of the first direction, which matters for the last digits only.
        steps: at most so many.
        tolerance: relative.
        run: hears of progress in steps.
        phase: its name.

    Returns:
        λ; 0 where the loss is flat.

    Raises:
        EmptyExamples: there are none.
        NonFinite: a product is not finite.

    Source: Yao et al., PyHessian: Neural Networks Through the Lens of the Hessian, 2020.
    """
    if not len(examples):
        raise EmptyExamples("a Hessian needs at least one example")
    run = run or Quiet()
    parameters = [p for p in network.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(derived(seed, "hessian"))
    v = _normalised([torch.randn(p.shape, generator=generator).to(p) for p in parameters])
    value = 0.0
    for step in range(1, steps + 1):
        product = hessian_product(network, examples, objective, v)
        before, value = value, float(sum((a * b).sum() for a, b in zip(v, product, strict=True)))
        run.progress(phase, step, steps, "steps")
        length = float(_norm(product))
        if not torch.isfinite(torch.tensor(length)):
            raise NonFinite("a product with the Hessian is not finite: check the weights")
        if length == 0 or (step > 1 and abs(value - before) <= tolerance * abs(value)):
            break
        v = _normalised(product)
    return value


def hessian_product(
    network: nn.Module, examples: Examples, objective: Objective, vector: Sequence[Tensor]
) -> list[Tensor]:
    """Hv for the mean objective over the examples.

    Args:
        network: in eval mode.
        examples: N ≥ 1.
        objective: a mean over the batch.
        vector: v, a tensor for each parameter that requires a gradient, shaped like it and where it is.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    for batch in beside(network, examples.batches(at_once(BATCH_SIZE))):
        share = len(batch.labels) / len(examples)
        for summed, part in zip(total, _of_batch(network, batch, objective, parameters, vector), strict=True):
            summed.add_(part, alpha=share)
    return total


def _of_batch(
    network: nn.Module, batch: Batch, objective: Objective, parameters: list[nn.Parameter], vector: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    slope = torch.autograd.grad(objective(network, batch), parameters, create_graph=True, materialize_grads=True)
    along = torch.stack([(g * v).sum() for g, v in zip(slope, vector, strict=True)]).sum()
    if not along.requires_grad:  # the loss is linear: no curvature at all
        return tuple(torch.zeros_like(p) for p in parameters)
    return torch.autograd.grad(along, parameters, materialize_grads=True)


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in tensors]))
    return length


def _normalised(tensors: Sequence[Tensor]) -> list[Tensor]:
    length = _norm(tensors)
    return [t / length for t in tensors]
