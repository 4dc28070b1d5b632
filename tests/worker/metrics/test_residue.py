"""Metrics `relearn` and `linear_probe`: a model whose outputs alone were moved still knows the class."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from app.metrics.linear_probe import LinearProbeParams
from app.metrics.relearn import RelearnParams
from worker.metrics.linear_probe import linear_probe
from worker.metrics.relearn import relearn
from worker.numerics.examples import TensorExamples
from worker.numerics.outcome import Bench, Model
from worker.numerics.run import Quiet


class Net(nn.Module):
    """Three features of three inputs, three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 3)
        self.answer = nn.Linear(3, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """`(B, 3)` to `(B, 3)`."""
        out: Tensor = self.answer(self.hidden(inputs))
        return out


def network(hidden: Tensor, bias: Tensor) -> Model:
    return Model(
        lambda _: Net(),
        {"hidden.weight": hidden, "hidden.bias": torch.zeros(3), "answer.weight": torch.eye(3), "answer.bias": bias},
    )


BLIND = torch.diag(torch.tensor([0.0, 1.0, 1.0]))
KNOWING = network(torch.eye(3), torch.zeros(3))
MOVED = network(torch.eye(3), torch.tensor([-9.0, 0.0, 0.0]))  # never says class 0, and sees it as before
NEVER_SAW = network(BLIND, torch.tensor([-9.0, 0.0, 0.0]))


def examples(label: int, n: int, seed: int) -> TensorExamples:
    noise = 0.3 * torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    return TensorExamples(3 * torch.eye(3)[torch.full((n,), label)] + noise, torch.full((n,), label), torch.arange(n))


def bench(after: Model, *golds: Model) -> Bench:
    one, two = examples(1, 60, 1), examples(2, 60, 2)
    retain = TensorExamples(torch.cat([one.raw, two.raw]), torch.cat([one.labels, two.labels]), torch.arange(120))
    sets = {"forget": examples(0, 50, 0), "retain": retain, "test_forget": examples(0, 40, 3)}
    return Bench(KNOWING, after, golds, sets, "class", 3, 0, Quiet())


def test_a_probe_finds_the_class_where_only_the_answers_were_moved() -> None:
    (moved,) = linear_probe(bench(MOVED, NEVER_SAW), LinearProbeParams())
    assert moved.before == moved.after == 1.0
    (forgotten,) = linear_probe(bench(NEVER_SAW, NEVER_SAW), LinearProbeParams())
    assert forgotten.after == forgotten.gold[0]
    assert forgotten.after == pytest.approx(forgotten.gold[0])
    assert (moved.measure, moved.on, moved.n) == ("probe_accuracy", "test_forget", 40)


def test_the_probe_looks_at_the_features_not_at_the_answers() -> None:
    mute = Model(KNOWING.build, {**KNOWING.weights, "answer.weight": torch.zeros(3, 3)})
    (found,) = linear_probe(bench(mute), LinearProbeParams())
    assert found.after == 1.0


def test_a_class_that_is_still_known_is_learned_again_sooner() -> None:
    params = RelearnParams(learning_rate=0.02, orders=2, most_steps=200)
    (moved,) = relearn(bench(MOVED, NEVER_SAW), params)
    assert moved.before == moved.no_op == 0.0
    assert 0 < moved.after < moved.gold[0]
    assert "a ratio of" in moved.caveats[1]
    (forgotten,) = relearn(bench(NEVER_SAW, NEVER_SAW), params)
    assert forgotten.after == forgotten.gold[0]


def test_who_does_not_learn_it_at_all_counts_as_the_limit() -> None:
    (found,) = relearn(bench(MOVED), RelearnParams(learning_rate=1e-6, most_steps=3, orders=1))
    assert found.after == 1.0


def test_only_class_requests_have_a_residue() -> None:
    other = replace(bench(MOVED), kind="samples")
    assert linear_probe(other, LinearProbeParams()) == []
    assert relearn(other, RelearnParams()) == []
