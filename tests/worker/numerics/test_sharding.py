"""Networks in shards: how they answer, which sample is whose, and that nobody learns from another's."""

from hashlib import sha256
from math import log

import pytest
import torch
from torch import Tensor, nn

from tests.worker.methods.conftest import RECIPE, build, cloud
from tests.worker.numerics.fisher.zoo import CLASSES, examples, obvious, off
from tests.worker.numerics.recorder import Recorder
from worker.numerics.errors import EmptyExamples
from worker.numerics.fisher import fisher_diagonal
from worker.numerics.randomness import drawn_from
from worker.numerics.sharding import Sharded, seed_of, shard_of
from worker.numerics.training import train

SHARDS = 3


class Constant(nn.Module):
    """Always the same logits."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


def sharded(seed: int) -> Sharded:
    return Sharded([build(seed_of(seed, shard)) for shard in range(SHARDS)])


def test_the_answer_is_the_logarithm_of_the_mean_probability() -> None:
    """softmax(0, ln 3) = (1/4, 3/4) and softmax(0, 0) = (1/2, 1/2), in the mean (3/8, 5/8)."""
    network = Sharded([Constant(0.0, log(3)), Constant(7.0, 7.0)])
    torch.testing.assert_close(network(torch.zeros(1, 1)).exp(), torch.tensor([[3 / 8, 5 / 8]]))


def test_members_that_are_sure_and_of_two_minds_give_finite_logits() -> None:
    logits = Sharded([Constant(0.0, 500.0, 0.0), Constant(500.0, 0.0, 0.0)])(torch.zeros(1, 1))
    torch.testing.assert_close(logits[0, :2].exp(), torch.tensor([0.5, 0.5]))
    assert logits.isfinite().all()


def test_the_shard_is_that_of_the_documented_hash() -> None:
    """As who trains elsewhere would compute it."""
    positions = torch.tensor([0, 1, 59_999, 2**40])
    expected = [
        (int.from_bytes(sha256(f"0/shard/{p}".encode()).digest()[:8], "big") >> 1) % 7 for p in positions.tolist()
    ]
    assert shard_of(positions, 7).tolist() == expected
    assert shard_of(torch.arange(4), 5).tolist() == [1, 3, 4, 1]  # printf 0/shard/0 | sha256sum, and so on


def test_a_shard_has_its_share_of_every_class_also_where_classes_alternate() -> None:
    positions = torch.arange(3000)
    counts = torch.zeros(3, 3).index_put_((shard_of(positions, 3), positions % 3), torch.ones(3000), accumulate=True)
    assert ((counts - 3000 / 9).abs() < 4 * (3000 * 8 / 81) ** 0.5).all()


def test_every_member_is_trained_on_its_shard_alone() -> None:
    data = cloud(1, 120)
    weights = train(sharded, RECIPE, data, seed=5)
    for shard in range(SHARDS):
        alone = train(build, RECIPE, data.where(shard_of(data.positions, SHARDS) == shard), seed=seed_of(5, shard))
        assert all(torch.equal(weights[f"shards.{shard}.{name}"], tensor) for name, tensor in alone.items())


def test_a_sample_that_is_left_out_changes_its_own_member_only() -> None:
    data = cloud(1, 120)
    whole, less = (train(sharded, RECIPE, part, seed=5) for part in (data, data.at(torch.arange(1, 120))))
    home = int(shard_of(data.positions[:1], SHARDS))
    for name, tensor in whole.items():
        assert torch.equal(tensor, less[name]) is not name.startswith(f"shards.{home}.")


def test_members_start_apart() -> None:
    state = sharded(1).state_dict()
    assert not torch.equal(state["shards.0.0.weight"], state["shards.1.0.weight"])


def test_progress_and_checkpoints_are_told_apart() -> None:
    run = Recorder()
    train(sharded, RECIPE, cloud(1, 60), seed=1, run=run, phase="gold")
    assert [phase for phase, completed, total, _ in run.told if completed == total] == [
        "gold_shard_0",
        "gold_shard_1",
        "gold_shard_2",
    ]


def test_a_shard_without_samples_is_an_error() -> None:
    with pytest.raises(EmptyExamples, match="fewer shards"):
        train(sharded, RECIPE, cloud(1, 1), seed=1)


def test_its_fisher_diagonal_is_the_definition() -> None:
    def member() -> nn.Module:
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4 * 3, CLASSES))

    with drawn_from(1):
        network = Sharded([member(), member(), member()]).double().eval()
    data, run = examples(11, (2, 6, 5)), Recorder()

    fisher = fisher_diagonal(network, data, run=run, batch_size=4)

    assert run.notes["fisher_by"] == "interception"
    assert list(fisher.sums) == [name for name, _ in network.named_parameters()]
    assert off(dict(fisher.sums), obvious(network, data)) <= 1e-12
