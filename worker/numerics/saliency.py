"""How steeply the loss on some examples rises with each weight."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from worker.numerics.device import beside, working
from worker.numerics.errors import EmptyExamples, NonFinite
from worker.numerics.examples import Examples
from worker.numerics.run import Quiet, Run
from worker.numerics.thrift import at_once


@working
def mean_gradient(
    network: nn.Module, examples: Examples, *, batch_size: int = 512, run: Run | None = None, phase: str = "gradient"
) -> dict[str, Tensor]:
    """The gradient of the mean loss over all examples, in the network's mode; nothing is changed.

        g = 1/N Σₙ ∇_θ ℓ(f_θ(xₙ), yₙ)        ℓ: cross entropy

    Not the Fisher: a weight that samples pull in opposite directions has g near 0.

    Args:
        network: θ.
        examples: N ≥ 1.
        batch_size: bounds memory.
        run: hears of progress in samples.
        phase: its name.

    Returns:
        float64, by parameter name; zero where the loss does not depend on a weight.

    Raises:
        EmptyExamples: there are none.
        NonFinite: an entry is a NaN or an infinity.
    """
    run = run or Quiet()
    if not len(examples):
        raise EmptyExamples("there are no examples to take a gradient over")
    parameters = dict(network.named_parameters())
    sums = {name: torch.zeros_like(theta, dtype=torch.float64) for name, theta in parameters.items()}
    done = 0
    for batch in beside(network, examples.batches(at_once(batch_size))):
        loss = cross_entropy(network(batch.inputs), batch.labels, reduction="sum")
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True, materialize_grads=True)
        for total, g in zip(sums.values(), gradients, strict=True):
            total.add_(g)
        done += len(batch.labels)
        run.progress(phase, done, len(examples), "samples")
    if not all(total.isfinite().all() for total in sums.values()):
        raise NonFinite("the gradient is not finite: the deployed weights or the data hold a NaN or an infinity")
    return {name: (total / done).cpu() for name, total in sums.items()}
