"""Entropy and modified entropy, by hand, and where floats end."""

from math import log

import pytest
import torch

from worker.numerics.uncertainty import entropy, modified_entropy

SHARES = torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]], dtype=torch.float64)
LABELS = torch.tensor([0, 2])  # one answer right, the same answer wrong


def test_the_entropy_is_its_closed_form_and_does_not_know_the_label() -> None:
    closed = -(0.7 * log(0.7) + 0.2 * log(0.2) + 0.1 * log(0.1))
    assert entropy(SHARES.log()).tolist() == pytest.approx([closed, closed], rel=1e-14)
    assert closed == pytest.approx(0.801819, abs=1e-6)


def test_the_modified_entropy_is_its_closed_form_and_knows_it() -> None:
    right = -(0.3 * log(0.7) + 0.2 * log(0.8) + 0.1 * log(0.9))
    wrong = -(0.9 * log(0.1) + 0.7 * log(0.3) + 0.2 * log(0.8))
    assert modified_entropy(SHARES.log(), LABELS).tolist() == pytest.approx([right, wrong], rel=1e-14)
    assert [right, wrong] == pytest.approx([0.162167, 2.959736], abs=1e-6)


def test_logits_need_not_be_normalised() -> None:
    shifted = SHARES.log() + torch.tensor([[3.0], [-40.0]])
    torch.testing.assert_close(entropy(shifted), entropy(SHARES.log()))
    torch.testing.assert_close(modified_entropy(shifted, LABELS), modified_entropy(SHARES.log(), LABELS))


def test_equal_answers_have_the_largest_entropy() -> None:
    z = torch.zeros(1, 4)
    assert entropy(z).item() == pytest.approx(log(4))
    assert modified_entropy(z, torch.tensor([1])).item() == pytest.approx(0.75 * log(4) + 0.75 * log(4 / 3))


def test_sure_answers_keep_their_digits() -> None:
    """Lead 50: with q = e⁻⁵⁰, H = (1 + 50) q and M = 2 q² where right, 2·50 where wrong, to the first order in q."""
    z, q = torch.tensor([[50.0, 0.0], [50.0, 0.0]]), 1.9287498479639178e-22
    assert entropy(z).tolist() == pytest.approx([51 * q, 51 * q], rel=1e-12, abs=0)
    right, wrong = modified_entropy(z, torch.tensor([0, 1])).tolist()
    assert right == pytest.approx(2 * q * q, rel=1e-12, abs=0)
    assert wrong == pytest.approx(100.0, rel=1e-12)


@pytest.mark.parametrize("lead", [40.0, 800.0, 1e5, 3e38])
def test_no_lead_is_too_large(lead: float) -> None:
    z = torch.tensor([[lead, 0.0, -lead], [lead, 0.0, -lead], [lead, 0.0, -lead]])
    labels = torch.tensor([0, 1, 2])
    assert entropy(z).isfinite().all()
    found = modified_entropy(z, labels)
    assert found.isfinite().all()
    assert (entropy(z) >= 0).all()
    assert found[0] <= 1e-15
    assert found[1].item() == pytest.approx(2 * lead)  # −1 log p_y − 1 log(1 − p_t)
    assert found[2].item() == pytest.approx(3 * lead)


def test_a_silenced_class_adds_nothing_and_its_samples_are_no_members() -> None:
    z = torch.tensor([[0.0, -torch.inf, 0.0, -torch.inf]]).expand(2, -1)
    assert entropy(z).tolist() == pytest.approx([log(2), log(2)])
    assert modified_entropy(z, torch.tensor([0, 1])).tolist() == pytest.approx([log(2), torch.inf])


def test_a_single_class_that_is_left_is_certain() -> None:
    z = torch.tensor([[3.0, -torch.inf], [3.0, -torch.inf]])
    assert entropy(z).tolist() == [0.0, 0.0]
    assert modified_entropy(z, torch.tensor([0, 1])).tolist() == [0.0, torch.inf]
