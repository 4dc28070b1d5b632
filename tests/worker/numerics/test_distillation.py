"""The divergence of a student from a teacher, by hand."""

from math import log

import pytest
import torch

from worker.numerics.distillation import distillation


def test_it_is_the_mean_over_samples_and_not_over_classes() -> None:
    """KL((¾, ¼) ‖ (½, ½)) = ¾ ln 1.5 + ¼ ln 0.5, in one sample of two; the other agrees."""
    teacher = torch.tensor([[log(3), 0.0], [1.0, 1.0]])
    student = torch.tensor([[0.0, 0.0], [5.0, 5.0]])

    expected = (0.75 * log(1.5) + 0.25 * log(0.5)) / 2
    assert float(distillation(student, teacher)) == pytest.approx(expected, rel=1e-6)


def test_the_temperature_softens_both_and_keeps_the_scale() -> None:
    """With τ = 2 logits of 2 ln 3 count as ln 3, and the result four times."""
    teacher, student = torch.tensor([[2 * log(3), 0.0]]), torch.zeros(1, 2)

    expected = 4 * (0.75 * log(1.5) + 0.25 * log(0.5))
    assert float(distillation(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-6)


def test_the_sides_are_not_exchangeable() -> None:
    teacher, student = torch.tensor([[log(3), 0.0]]), torch.zeros(1, 2)

    assert float(distillation(student, teacher)) != pytest.approx(float(distillation(teacher, student)), rel=1e-3)


def test_an_answer_beyond_doubt_is_finite() -> None:
    sure = torch.tensor([[1000.0, 0.0]])

    assert float(distillation(sure, sure)) == 0
    assert float(distillation(sure.flip(1), sure)) == pytest.approx(1000)
