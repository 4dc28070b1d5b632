"""What a model answers, and how well: logits, losses, accuracy."""

import torch
from torch import Tensor

from worker.numerics.device import beside, device
from worker.numerics.errors import EmptyExamples
from worker.numerics.examples import Examples
from worker.numerics.outcome import Model
from worker.numerics.run import Quiet, Run
from worker.numerics.thrift import at_once
from worker.numerics.weights import network_with


def logits(
    model: Model, examples: Examples, *, batch_size: int = 512, run: Run | None = None, phase: str = "evaluate"
) -> Tensor:
    """f_θ(x) for every example in order, in eval mode.

    Args:
        model: whose silenced classes get −∞: they are never the answer.
        examples: N ≥ 1.
        batch_size: bounds memory.
        run: hears of progress in samples.
        phase: its name.

    Returns:
        `(N, C)`.

    Raises:
        EmptyExamples: there are none.
    """
    run = run or Quiet()
    if not len(examples):
        raise EmptyExamples("there are no examples to evaluate on")
    network = network_with(model.build, model.weights).to(device())
    answers: list[Tensor] = []
    done = 0
    with torch.no_grad():
        for batch in beside(network, examples.batches(at_once(batch_size))):
            answers.append(network(batch.inputs).cpu())
            done += len(batch.labels)
            run.progress(phase, done, len(examples), "samples")
    result = torch.cat(answers)
    result[:, sorted(model.silenced)] = -torch.inf
    return result


def per_sample_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each sample in float64, exact also where p_y is 1 to float64's last digit.

        ℓ = −log p_y = log(1 + Σ_{j≠y} exp(z_j − z_y))

    Args:
        logits: z, `(N, C)`; −∞ for silenced classes.
        labels: y, `(N,)`. A sample of a silenced class loses ∞.

    Returns:
        `(N,)`, float64.
    """
    z, column = logits.double(), labels.unsqueeze(1)
    ahead = (z - z.gather(1, column)).scatter(1, column, -torch.inf)
    loss = torch.logaddexp(torch.zeros(len(z), dtype=torch.float64), ahead.logsumexp(1))
    return loss.masked_fill(z.gather(1, column).squeeze(1) == -torch.inf, torch.inf)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of samples whose largest logit is that of their label.

    Args:
        logits: `(N, C)`.
        labels: `(N,)`, N ≥ 1.

    Raises:
        EmptyExamples: N = 0, where a share means nothing.
    """
    if not len(labels):
        raise EmptyExamples("there are no examples to be right about")
    return float((logits.argmax(1) == labels).double().mean())
