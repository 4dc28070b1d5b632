"""The head of a network: the linear layer that gives the answer, and what it is given."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from worker.numerics.device import beside, working
from worker.numerics.errors import EmptyExamples, Misfit
from worker.numerics.examples import Examples
from worker.numerics.run import Run
from worker.numerics.thrift import at_once
from worker.numerics.weights import Weights

BATCH = 512


class Head(NamedTuple):
    """The last linear layer, by the names of its tensors: z = W h + a."""

    weight: str
    bias: str | None

    def matrix(self, weights: Weights) -> Tensor:
        """[W a], `(C, D)` float64; without the last column if there is no bias."""
        columns = [weights[self.weight], *([] if self.bias is None else [weights[self.bias][:, None]])]
        return torch.cat(columns, 1).double()

    def put(self, weights: Weights, matrix: Tensor) -> dict[str, Tensor]:
        """A copy of the weights with this head, rounded to their type."""
        new = {name: tensor.clone() for name, tensor in weights.items()}
        d = weights[self.weight].shape[1]
        new[self.weight].copy_(matrix[:, :d])
        if self.bias is not None:
            new[self.bias].copy_(matrix[:, d])
        return new

    def inputs(self, features: Tensor) -> Tensor:
        """[h 1], `(B, D)` float64, so that z = [h 1] [W a]ᵀ."""
        ones = [] if self.bias is None else [features.new_ones(len(features), 1)]
        return torch.cat([features, *ones], 1).double()


@working
def head_of(network: nn.Module, examples: Examples) -> Head:
    """The linear layer whose output is the answer, found by running two examples through.

    Raises:
        EmptyExamples: there are none.
        Misfit: the answer is made by another kind of layer, or the layer's weights are used elsewhere too.
    """
    if not len(examples):
        raise EmptyExamples("there are no examples to run through the network")
    batch = next(beside(network, examples.at(torch.arange(min(2, len(examples)))).batches(2)))
    logits, calls = _watched(network, batch.inputs)
    name, answer = calls[-1][0], calls[-1][2]
    if answer.dim() != 2 or not torch.equal(answer, logits):
        raise Misfit("the answer does not come from a linear layer as it is, so there is no linear head to treat alone")
    module = network.get_submodule(name)
    dot = f"{name}." if name else ""
    names = [dot + own for own, _ in module.named_parameters(recurse=False)]
    users = [p for _, p in network.named_parameters(remove_duplicate=False) if p is module.weight]
    if len(users) > 1 or [called for called, *_ in calls].count(name) > 1 or dot + "weight" not in names:
        raise Misfit(f"the weights of the last linear layer, {name!r}, are used elsewhere in the network too")
    return Head(dot + "weight", dot + "bias" if dot + "bias" in names else None)


@working
def head_inputs(network: nn.Module, head: Head, examples: Examples, *, run: Run, phase: str) -> Tensor:
    """What the head is given for every example, in order, with a 1 at the end for its bias.

    Returns:
        `(N, D)`, float64: all in memory.
    """
    name, found = head.weight.removesuffix("weight").removesuffix("."), list[Tensor]()
    done = 0
    for batch in beside(network, examples.batches(at_once(BATCH))):
        _, calls = _watched(network, batch.inputs)
        found.append(head.inputs(next(given for called, given, _ in calls if called == name)).cpu())
        done += len(batch.labels)
        run.progress(phase, done, len(examples), "samples")
    return torch.cat(found)


@torch.no_grad()
def _watched(network: nn.Module, inputs: Tensor) -> tuple[Tensor, list[tuple[str, Tensor, Tensor]]]:
    """The logits, and every call of a linear layer: its name, what went in, what came out."""
    calls: list[tuple[str, Tensor, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda _, given, out, name=name: calls.append((name, given[0], out)))
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        logits = network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not calls:
        raise Misfit("the network has no linear layer, and so no linear head to treat alone")
    return logits, calls
