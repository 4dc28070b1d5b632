"""`sisa`: networks on disjoint shards of the data, answering together."""

from app.architectures.sisa import SisaNetworkParams
from worker.numerics.sharding import Sharded, seed_of
from worker.numerics.weights import Build


def build(params: SisaNetworkParams, seed: int, member: Build) -> Sharded:
    """`shards` members, each from a seed of its own; their parameters are named shards.0 to shards.(k−1).

    Args:
        params: how many.
        seed: of all.
        member: seed to a network of `params.member`.

    Returns:
        `(B, *input_shape)` to `(B, classes)`.

    Source: Bourtoule et al., Machine Unlearning, 2021.
    """
    return Sharded([member(seed_of(seed, shard)) for shard in range(params.shards)])
