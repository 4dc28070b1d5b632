"""What a model answers, and how well."""

import pytest
import torch
from torch import nn

from tests.worker.numerics.recorder import Recorder
from worker.numerics.errors import EmptyExamples
from worker.numerics.evaluation import accuracy, logits, per_sample_loss
from worker.numerics.examples import TensorExamples
from worker.numerics.outcome import Model
from worker.numerics.randomness import drawn_from
from worker.numerics.weights import weights_of


def build(seed: int) -> nn.Module:
    with drawn_from(seed):
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def examples(n: int = 10) -> TensorExamples:
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(0))
    return TensorExamples(x, torch.arange(n) % 3, torch.arange(n))


def test_logits_are_those_of_the_network_in_eval_mode_and_in_order() -> None:
    network, data, run = build(3), examples(), Recorder()
    found = logits(Model(build, weights_of(network)), data, batch_size=4, run=run)
    torch.testing.assert_close(found, network.eval()(data.raw).detach())
    assert not found.requires_grad
    assert run.told == [("evaluate", done, 10, "samples") for done in (4, 8, 10)]


def test_a_silenced_class_is_never_the_answer() -> None:
    found = logits(Model(build, weights_of(build(3)), silenced=frozenset({0, 2})), examples())
    assert found[:, 0].eq(-torch.inf).all()
    assert found.argmax(1).eq(1).all()


def test_no_examples_are_an_error() -> None:
    with pytest.raises(EmptyExamples):
        logits(Model(build, weights_of(build(3))), examples(0))
    with pytest.raises(EmptyExamples):
        accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))


def test_the_loss_is_the_cross_entropy() -> None:
    z = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(20) % 5
    torch.testing.assert_close(per_sample_loss(z, y), nn.functional.cross_entropy(z, y, reduction="none"))


def test_the_loss_of_a_sure_answer_keeps_its_digits() -> None:
    """Lead 50 over one class: log(1 + e⁻⁵⁰) = e⁻⁵⁰ ≈ 1.93·10⁻²², which 1 − p_y cannot hold."""
    loss = per_sample_loss(torch.tensor([[50.0, 0.0]]), torch.tensor([0]))
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(1.9287498479639178e-22, rel=1e-12)


def test_a_silenced_class_loses_everything_and_costs_the_others_nothing() -> None:
    z = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf]]).expand(2, -1)
    assert per_sample_loss(z, torch.tensor([0, 1])).tolist() == pytest.approx([0.6931471805599453, torch.inf])


def test_accuracy_is_the_share_of_right_answers() -> None:
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert accuracy(z, torch.tensor([0, 1, 1, 1])) == 0.75
