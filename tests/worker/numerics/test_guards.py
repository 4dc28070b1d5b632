"""No result without a change, none with a NaN."""

import pytest
import torch

from worker.numerics.errors import Misfit, NonFinite, NothingToDo
from worker.numerics.examples import TensorExamples
from worker.numerics.guards import changed, felt
from worker.numerics.problem import Problem

OLD = {"weight": torch.tensor([1.0, 2.0])}


def test_a_changed_entry_passes() -> None:
    new = {"weight": torch.tensor([1.0, 2.5])}
    assert changed(OLD, new) is new


def test_no_change_is_a_failure() -> None:
    with pytest.raises(NothingToDo):
        changed(OLD, {"weight": torch.tensor([1.0, 2.0])})


def test_a_nan_is_a_failure_that_names_the_tensor() -> None:
    with pytest.raises(NonFinite, match=r"^1 of 2 entries of weight are not finite .* ask for a smaller one"):
        changed(OLD, {"weight": torch.tensor([1.0, torch.nan])})


def test_other_names_are_a_failure() -> None:
    with pytest.raises(Misfit):
        changed(OLD, {"bias": torch.tensor([1.0, 2.0])})


def test_a_change_that_no_output_feels_is_a_failure() -> None:
    def build(seed: int) -> torch.nn.Module:  # noqa: ARG001 - its weights are loaded
        return torch.nn.Linear(2, 2)

    old = {"weight": torch.eye(2), "bias": torch.zeros(2)}
    examples = TensorExamples(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), torch.tensor([0]))
    problem = Problem(build=build, old=old, classes=2, pattern="A", seed=0)
    felt_one, unfelt = torch.eye(2), torch.eye(2)
    felt_one[0, 0], unfelt[0, 1] = 2.0, 2.0  # the second feature is 0 in all examples

    assert felt(problem, {**old, "weight": felt_one}, examples)["weight"] is felt_one
    with pytest.raises(NothingToDo, match="larger fraction"):
        felt(problem, {**old, "weight": unfelt}, examples)
