"""No result without a change, none with a NaN."""

import pytest
import torch

from worker.numerics.errors import Misfit, NonFinite, NothingToDo
from worker.numerics.guards import changed

OLD = {"weight": torch.tensor([1.0, 2.0])}


def test_a_changed_entry_passes() -> None:
    new = {"weight": torch.tensor([1.0, 2.5])}
    assert changed(OLD, new) is new


def test_no_change_is_a_failure() -> None:
    with pytest.raises(NothingToDo):
        changed(OLD, {"weight": torch.tensor([1.0, 2.0])})


def test_a_nan_is_a_failure_that_names_the_tensor() -> None:
    with pytest.raises(NonFinite, match="weight"):
        changed(OLD, {"weight": torch.tensor([1.0, torch.nan])})


def test_other_names_are_a_failure() -> None:
    with pytest.raises(Misfit):
        changed(OLD, {"bias": torch.tensor([1.0, 2.0])})
