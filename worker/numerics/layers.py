"""A network by its layers: which are the last, and what lies below them."""

from itertools import chain
from typing import NamedTuple

import torch
from torch import nn

from worker.numerics.device import beside, working
from worker.numerics.errors import Misfit
from worker.numerics.examples import Examples, TensorExamples
from worker.numerics.run import Quiet, Run
from worker.numerics.thrift import at_once

BATCH = 512


class Halves(NamedTuple):
    """A sequence of layers in two, which share their weights with the whole: logits = head(trunk(x))."""

    trunk: nn.Module
    head: nn.Module


def last_layers(network: nn.Module, count: int) -> set[str]:
    """Names of the parameters and buffers of the last layers, in the order in which the network defines them.

    Args:
        network: with layers that are modules with parameters of their own.
        count: k, from the answer backwards.

    Raises:
        Misfit: the network has fewer.
    """
    owners = [name for name, module in network.named_modules() if list(module.parameters(recurse=False))]
    if count > len(owners):
        raise Misfit(f"the network has {len(owners)} layers with weights: there are no {count} last ones")
    found = set()
    for owner in owners[len(owners) - count :]:
        layer = network.get_submodule(owner)
        own = chain(layer.named_parameters(recurse=False), layer.named_buffers(recurse=False))
        found |= {f"{owner}.{name}" if owner else name for name, _ in own}
    return found


def halves(network: nn.Module, names: set[str]) -> Halves | None:
    """The network cut below the first layer with a tensor of these names; None if it is no plain sequence."""
    if not isinstance(network, nn.Sequential):
        return None
    tensors = [{f"{child}.{name}" for name in module.state_dict()} for child, module in network.named_children()]
    first = next(i for i, own in enumerate(tensors) if own & names)
    if any(own - names for own in tensors[first:]):
        return None
    return Halves(network[:first], network[first:])


@working
def seen_through(trunk: nn.Module, examples: Examples, *, run: Run | None = None) -> TensorExamples:
    """The examples with what the trunk makes of their inputs, in eval mode, as inputs: `(N, *features)`, in memory."""
    run, features, done = run or Quiet(), [], 0
    with torch.no_grad():
        for batch in beside(trunk, examples.batches(at_once(BATCH))):
            features.append(trunk(batch.inputs).cpu())
            done += len(batch.labels)
            run.progress("features", done, len(examples), "samples")
    return TensorExamples(torch.cat(features), examples.labels, examples.positions)
