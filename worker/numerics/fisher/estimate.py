"""One pass over the examples, summing squares: the estimation of a Fisher diagonal."""

from copy import deepcopy
from functools import cache, partial
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from worker.numerics.binding import bound_to
from worker.numerics.device import device, place_of
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.examples import Examples
from worker.numerics.fisher.accumulator import Accumulator
from worker.numerics.fisher.diagonal import Fisher
from worker.numerics.fisher.trial import SAMPLES
from worker.numerics.run import Fact, Quiet, Run
from worker.numerics.thrift import at_once

CHECKPOINT_SECONDS = 5.0
ACTIVATION_FLOATS = 2**26
"""At most so many numbers in the results of all operations on a batch: 256 MiB in float32, about as much is kept."""
FUSED_FLOATS = 2**32
"""From so many numbers in the results of all operations on all samples on, products are squared where they are formed:
what that saves is then more than the few seconds that its compilation takes."""
COMPILED_FLOATS = 2**36
"""From so many numbers in the results of all operations on all samples on, a compiled pass is chosen: what it saves,
about a fifth of the time, is then more than the minute or two that compiling takes."""


def fisher_diagonal(
    network: nn.Module,
    examples: Examples,
    *,
    run: Run | None = None,
    batch_size: int | None = None,
    compiled: bool | None = None,
    phase: str = "fisher",
) -> Fisher:
    """The exact per-sample empirical Fisher of a network in eval mode.

        S = Σₙ (∂ℓ(f_θ(xₙ), yₙ)/∂θ)²         ℓ: cross entropy

    A killed attempt goes on at its last checkpoint: batches come in a fixed order, those done are passed over, and the
    sums are what they would have been. One that cannot compile what an earlier attempt has compiled, or the other way
    round, begins anew.

    Args:
        network: every parameter counts, also those that do not require a gradient. Not written to; where there is a
            GPU, a copy of it does the work there.
        examples: N ≥ 1.
        run: hears of progress in samples, keeps the checkpoint; notes how the squares were formed as `fisher_by`.
        batch_size: bounds the memory for activations; by default found from the network. The result does not depend on
            it, except in the last digits.
        compiled: whether to have products squared where they are formed, and the pass over a full batch compiled; by
            default each if there are enough samples to pay for it. `fisher_by` says why it could not be. The result
            does not depend on it, except in the last digits.
        phase: names progress and checkpoint; unique within a job.

    Returns:
        Float64 sums for every name of `network.named_parameters()`, and N. Not yet bound to digests.

    Raises:
        EmptyExamples: there are none.
        Misfit: the network, or a part of it, is in train mode; it cannot be run on these inputs or differentiated; its
            outputs are not `(B, C)`.
        SamplesMixed: the outputs for a sample depend on its batch.
        NonFinite: a gradient is not finite; the parameter and the sample's position are named.
    """
    run = run or Quiet()
    total = len(examples)
    if not total:
        raise EmptyExamples("a Fisher diagonal needs at least one example")
    if any(module.training for module in network.modules()):
        raise Misfit("the Fisher diagonal is that of the network in eval mode: call eval() first")
    if (here := device()).type != "cpu":
        network = deepcopy(network).to(here)
    first = next(examples.batches(min(total, SAMPLES)))
    accumulator = Accumulator(network, first.inputs, first.labels)
    batch_size = batch_size or _fitting(network, first.inputs)
    may = total >= batch_size and here.type == "cpu"
    if may and fusing_pays(network, first.inputs, total) if compiled is None else compiled:
        full = next(examples.batches(batch_size))
        accumulator.fuse(full.inputs, full.labels)
        if compiled or pays(network, first.inputs, total):
            accumulator.compile(full.inputs, full.labels)
    facts = cache(partial(_facts, network, examples, batch_size, accumulator))
    done, skipped, kept_at = 0, 0, monotonic()
    earlier = run.saved(phase)
    if earlier and facts().items() <= earlier[1].items() and accumulator.resume(earlier[0]):
        skipped = int(earlier[1]["done"])
    for batch in examples.batches(batch_size):
        done += len(batch.labels)
        if done <= skipped:
            continue
        accumulator.add(*batch)
        run.progress(phase, done, total, "samples")
        if accumulator.settled and monotonic() - kept_at >= CHECKPOINT_SECONDS:
            run.save(phase, (accumulator.sums(), {**facts(), "done": done}))
            kept_at = monotonic()
    sums = accumulator.finished()
    run.note(f"{phase}_by", accumulator.how)
    return Fisher(sums, total)


def _facts(network: nn.Module, examples: Examples, batch_size: int, accumulator: Accumulator) -> dict[str, Fact]:
    """What a checkpoint holds for. Digests every weight: for a few samples that takes as long as the pass itself."""
    bound = bound_to(network.state_dict(), examples)
    made = {"fused": accumulator.fused, "compiled": accumulator.compiled}
    return {"total": len(examples), "batch_size": batch_size, **made, "bound": bound}


def fusing_pays(network: nn.Module, inputs: Tensor, samples: int) -> bool:
    """Whether squaring products where they are formed is worth a compilation; the same answer on every machine."""
    return floats_of(network, inputs) * samples >= FUSED_FLOATS


def pays(network: nn.Module, inputs: Tensor, samples: int) -> bool:
    """Whether a compiled pass is worth its making; the same answer on every machine.

    There must be enough to do, and it must not be convolutions mostly: those are not fused with anything, and a
    compiled pass over a ResNet is no faster.
    """
    if floats_of(network, inputs) * samples < COMPILED_FLOATS:
        return False
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415 - imports Triton: only where it may pay

    counting = FlopCounterMode(display=False)
    with torch.no_grad(), counting:
        network(inputs[:1])
    operations = counting.get_flop_counts()["Global"]
    return 2 * operations.get(torch.ops.aten.convolution, 0) < sum(operations.values())


def _fitting(network: nn.Module, inputs: Tensor) -> int:
    """Samples in a batch, 1..256: so many that everything computed on the way stays within the bound."""
    return at_once(min(256, max(1, ACTIVATION_FLOATS // floats_of(network, inputs))))


def floats_of(network: nn.Module, inputs: Tensor) -> int:
    """How many numbers the operations on one sample give back, at least 1."""
    counting = _Counting()
    with torch.no_grad(), counting:
        network(inputs[:1].to(place_of(network)))
    return max(counting.floats, 1)


class _Counting(TorchFunctionMode):
    """Counts the numbers that torch's functions give back."""

    floats = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        self.floats += out.numel() if isinstance(out, Tensor) else 0
        return out
