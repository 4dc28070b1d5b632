"""One pass over the examples, summing squares: the estimation of a Fisher diagonal."""

from time import monotonic

import torch
from torch import Tensor, nn

from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.examples import Examples
from worker.numerics.fisher.diagonal import Fisher
from worker.numerics.fisher.squares import chosen, finite, tensors_of
from worker.numerics.run import Quiet, Run

CHECKPOINT_SECONDS = 5.0
ACTIVATION_FLOATS = 2**25
"""At most so many numbers of layer outputs in a batch: 128 MiB in float32, and a few times that for gradients."""


def fisher_diagonal(
    network: nn.Module,
    examples: Examples,
    *,
    run: Run | None = None,
    batch_size: int | None = None,
    phase: str = "fisher",
) -> Fisher:
    """The exact per-sample empirical Fisher of a network in eval mode.

        S = Σₙ (∂ℓ(f_θ(xₙ), yₙ)/∂θ)²         ℓ: cross entropy

    A killed attempt goes on at its last checkpoint: batches come in a fixed order, those done are passed over, and the
    sums are what they would have been.

    Args:
        network: every parameter counts, also those that do not require a gradient. Not written to.
        examples: N ≥ 1.
        run: hears of progress in samples, keeps the checkpoint; notes how the squares were formed as `fisher_by`.
        batch_size: bounds the memory for activations; by default found from the network. The result does not depend on
            it, except in the last digits.
        phase: names progress and checkpoint; unique within a job.

    Returns:
        Float64 sums for every name of `network.named_parameters()`, and N. Not yet bound to digests.

    Raises:
        EmptyExamples: there are none.
        Misfit: the network, or a part of it, is in train mode.
        NonFinite: a gradient is not finite; the parameter is named.
    """
    run = run or Quiet()
    total = len(examples)
    if not total:
        raise EmptyExamples("a Fisher diagonal needs at least one example")
    if any(module.training for module in network.modules()):
        raise Misfit("the Fisher diagonal is that of the network in eval mode: call eval() first")
    batch_size = batch_size or _fitting(network, examples)
    tensors = tensors_of(network)
    sums = {name: torch.zeros(p.shape, dtype=torch.float64) for name, p in network.named_parameters()}
    facts = {"total": total, "batch_size": batch_size}
    earlier = run.saved(phase)
    skipped = 0
    if earlier and earlier[0].keys() == sums.keys() and facts.items() <= earlier[1].items():
        sums = {name: s.clone() for name, s in earlier[0].items()}
        skipped = int(earlier[1]["done"])
    squares, done, kept_at = None, 0, monotonic()
    for batch in examples.batches(batch_size):
        squares = squares or chosen(network, batch.inputs, batch.labels)
        done += len(batch.labels)
        if done <= skipped:
            continue
        found = squares(network, tensors, batch.inputs, batch.labels)
        finite(found)
        for name, s in found.items():
            sums[name] += s
        run.progress(phase, done, total, "samples")
        if monotonic() - kept_at >= CHECKPOINT_SECONDS:
            run.save(phase, (sums, {**facts, "done": done}))
            kept_at = monotonic()
    run.note(f"{phase}_by", squares.__name__ if squares else "")
    return Fisher(sums, total)


def _fitting(network: nn.Module, examples: Examples) -> int:
    """Samples in a batch, 1..256: so many that the outputs of all layers stay within the bound."""
    floats = 0

    def add(_module: nn.Module, _args: object, output: object) -> None:
        nonlocal floats
        floats += output.numel() if isinstance(output, Tensor) else 0

    hooks = [m.register_forward_hook(add) for m in network.modules() if not list(m.children())]
    try:
        with torch.no_grad():
            network(next(examples.batches(1)).inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return min(256, max(1, ACTIVATION_FLOATS // max(floats, 1)))
