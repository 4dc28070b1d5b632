"""The unrolling benchmark: what it calls retrained, and how it judges."""

from dataclasses import replace

import pytest
import torch

from benchmarks.unrolling import Data, Setting, distance, measured, onward, pearson, without
from worker.numerics.examples import TensorExamples
from worker.numerics.training import cross_entropy
from worker.numerics.weights import weights_of


def pictures(n: int, seed: int) -> TensorExamples:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randint(0, 256, (n, 1, 28, 28), generator=generator).to(torch.uint8)
    return TensorExamples(raw, torch.arange(n) % 10, torch.arange(n))


def test_the_retrained_weights_have_the_same_batches_without_d_f() -> None:
    """One batch of all: then training without the terms of D_f is training on the rest at |D_r|/|D| of the rate."""
    data, setting = pictures(40, 0), Setting("mlp", 0, 2, 40, 0.1)
    start = weights_of(setting.build(0))
    gone, rest = torch.arange(10), data.at(torch.arange(10, 40))

    ours = onward(setting.build, start, data, without(cross_entropy, gone), setting)
    theirs = onward(setting.build, start, rest, cross_entropy, setting._replace(learning_rate=0.1 * 30 / 40))

    assert distance(ours, theirs) < 1e-4 * distance(ours, start)


def test_a_batch_of_nothing_but_d_f_moves_nothing() -> None:
    data, setting = pictures(10, 0), Setting("mlp", 0, 2, 10, 0.1)
    start = weights_of(setting.build(0))
    assert distance(onward(setting.build, start, data, without(cross_entropy, data.positions), setting), start) == 0


def test_where_the_first_order_is_all_the_verification_error_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.unrolling.FORGET", 8)
    half = pictures(64, 1)
    data = Data(half, replace(half, positions=half.positions + 64), pictures(20, 2))
    small, large = (measured(data, Setting("mlp", 0, 2, 16, rate)) for rate in (1e-4, 1e-1))
    assert small["verification_error"] < 0.1 * small["no_op_error"]
    assert large["verification_error"] > 0.1 * large["no_op_error"]
    assert small["unlearning_error"] == pytest.approx(1e-8 * 8 / 2 * small["drift"] * small["sigma"], rel=1e-4)


def test_the_correlation_is_pearsons() -> None:
    rows = [{"unlearning_error": e, "verification_error": v} for e, v in ((1.0, 2.0), (2.0, 4.0), (3.0, 3.0))]
    assert pearson(rows) == pytest.approx(0.5)
