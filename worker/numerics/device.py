"""Where networks work: on the GPU where there is one, else on the CPU. What they come from and lead to is on the CPU.

Problems, weights, masks, Fisher diagonals, examples and checkpoints never leave the CPU. A network goes to the device
for as long as it is at work, and what it is given goes there batch by batch; what comes out is brought home by whoever
asked for it. Nothing is drawn on the device, so that a seed means the same on each; only dropout inside a network is.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from itertools import chain
from typing import Any, TypeVar, cast

import torch
from torch import nn

from worker.numerics.examples import Batch

CPU = torch.device("cpu")

_found: list[torch.device] = []

OfNetwork = TypeVar("OfNetwork", bound=Callable[..., Any])


def device() -> torch.device:
    """Where networks work in this process. Never asked for before a fork: afterwards no child could use the GPU."""
    if not _found:
        _found.append(torch.device("cuda") if torch.cuda.is_available() else CPU)
    return _found[0]


def device_name() -> str:
    """The device as reports name it: "cpu", or the GPU's product name."""
    here = device()
    return "cpu" if here.type == "cpu" else str(torch.get_device_module(here).get_device_name())


def place_of(network: nn.Module) -> torch.device:
    """Where a network is; the CPU if it has no tensor."""
    return next((t.device for t in chain(network.parameters(), network.buffers())), CPU)


@contextmanager
def at_work(*networks: nn.Module) -> Iterator[None]:
    """Within, the networks are on the device; afterwards those that came from the CPU are there again, in any case.

    Parameters stay the same objects, buffers do not.
    """
    here = device()
    called = [network for network in networks if place_of(network).type != here.type]
    try:
        for network in called:
            network.to(here)
        yield
    finally:
        for network in called:
            network.to(CPU)


def working(do: OfNetwork) -> OfNetwork:
    """For a function whose first argument is a network: it finds it at work."""

    @wraps(do)
    def done(network: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with at_work(network):
            return do(network, *args, **kwargs)

    return cast("OfNetwork", done)


def beside(network: nn.Module, batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches where the network is; positions stay at home, for they are looked up there."""
    here = place_of(network)
    for batch in batches:
        yield batch._replace(inputs=batch.inputs.to(here), labels=batch.labels.to(here))


def seed_draws(seed: int) -> None:
    """Let torch's global CPU generator, and the one of the device, start from the seed."""
    torch.default_generator.manual_seed(seed)
    if (here := device()).type != "cpu":
        torch.get_device_module(here).manual_seed(seed)
