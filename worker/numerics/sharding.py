"""Networks that are trained on disjoint shards of the data: which sample is whose, and what each learns from."""

from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from worker.numerics.errors import EmptyExamples
from worker.numerics.examples import Examples
from worker.numerics.randomness import derived


class Sharded(nn.Module):
    """Members that were trained apart, and answer together.

        f(x) = log( 1/k Σ_i softmax(f_i(x)) )      its softmax is the mean of the members' probabilities

    Source: Bourtoule et al., Machine Unlearning, 2021, §IV-C; a vote by mean probabilities, which has a gradient.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.shards = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, *S)` to `(B, C)`, entries at most 0."""
        answers = torch.stack([log_softmax(member(x), 1) for member in self.shards])
        return answers.logsumexp(0) - log(len(self.shards))


class Part(NamedTuple):
    """One network and what it is trained on."""

    network: nn.Module
    examples: Examples
    seed: int
    phase: str


def shard_of(positions: Tensor, shards: int) -> Tensor:
    """The shard of each sample, from its position alone: 63 bits of SHA-256("0/shard/{position}") mod k.

    By a hash, since data sets come sorted: the remainder of the position could put a class into one shard.

    Args:
        positions: `(N,)` int64, rows of the manifest.
        shards: k.

    Returns:
        `(N,)` int64 in 0..k-1.
    """
    return torch.tensor([derived(0, "shard", p) % shards for p in positions.tolist()], dtype=torch.int64)


def seed_of(seed: int, shard: int) -> int:
    """The seed of one member's initialisation, order and dropout, given that of the whole."""
    return derived(seed, "member", shard)


def parts(network: nn.Module, examples: Examples, *, seed: int, phase: str) -> Iterator[Part]:
    """What is trained by itself: every member on its shard, or a plain network on everything.

    Raises:
        EmptyExamples: a shard has no sample.
    """
    if not isinstance(network, Sharded):
        yield Part(network, examples, seed, phase)
        return
    home = shard_of(examples.positions, len(network.shards))
    for shard in range(len(network.shards)):
        yield part(network, examples.where(home == shard), shard, seed=seed, phase=phase)


def part(network: Sharded, examples: Examples, shard: int, *, seed: int, phase: str) -> Part:
    """One member, and the samples of its shard.

    Raises:
        EmptyExamples: there are none.
    """
    if not len(examples):
        raise EmptyExamples(f"shard {shard} of {len(network.shards)} has no sample to learn from: use fewer shards")
    return Part(network.shards[shard], examples, seed_of(seed, shard), f"{phase}_shard_{shard}")
