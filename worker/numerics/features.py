"""What a network makes of its inputs before the answer: hidden features."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor, nn

LAYERS = 2

Hearing = TypeVar("Hearing", bound=nn.Module)


def with_features(network: nn.Module, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The logits, and what the last two linear layers were given on the way to them.

    In a convolutional network with two of them: the last block after pooling, and the hidden layer before the answer.

    Args:
        network: with at least one linear layer, or there are no features.
        inputs: `(B, *S)`.

    Returns:
        `(B, C)`, and at most two of `(B, features)`; the earlier layer first.
    """
    with heard_by(module for module in network.modules() if isinstance(module, nn.Linear)) as heard:
        return network(inputs), [given.flatten(1) for _, given in heard[-LAYERS:]]


@contextmanager
def heard_by(modules: Iterable[Hearing]) -> Iterator[list[tuple[Hearing, Tensor]]]:
    """Within, what each of the modules is given, call by call, in the order of the calls."""
    heard: list[tuple[Hearing, Tensor]] = []

    def hear(module: Hearing, given: tuple[Tensor, ...]) -> None:
        heard.append((module, given[0]))

    handles = [module.register_forward_pre_hook(hear) for module in modules]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()


def feature_distance(features: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """How far features are from others, relative to the size of those, over all layers.

        Σ_l ‖h_l − h′_l‖² / ‖h′_l‖²       norms over the batch

    Args:
        features: h, one `(B, features)` per layer; at least one.
        wanted: h′, likewise.

    Returns:
        A scalar; a layer of zeros is divided by 1e-12.
    """
    pairs = zip(features, wanted, strict=True)
    return sum(
        ((h - w).square().sum() / w.square().sum().clamp(min=1e-12) for h, w in pairs), features[0].new_zeros(())
    )
