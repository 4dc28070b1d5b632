import pytest
from pydantic import ValidationError

from app.domain.drift import Drift, DriftBudget, spent


def test_jobs_add_up_and_retraining_begins_anew() -> None:
    drift = Drift().after("finetune", 0.1, 0.01).after("deepclean", 0.2, -0.005)
    assert (drift.weight_change, drift.accuracy_loss) == pytest.approx((0.3, 0.005))
    assert drift.jobs == 2
    assert drift.after("sisa", 1.0, 0.5) == drift
    assert drift.after("retrain", 1.0, 0.5) == Drift()


def test_a_budget_is_spent_when_one_of_its_bounds_is_reached() -> None:
    drift = Drift(weight_change=0.3, accuracy_loss=0.005, jobs=2)
    assert spent(drift, None) is None
    assert spent(drift, DriftBudget(weight_change=0.31, accuracy_loss=0.006)) is None
    assert spent(drift, DriftBudget(weight_change=0.3, accuracy_loss=0.1)) == "weight change 0.3 of 0.3"
    both = spent(drift, DriftBudget(weight_change=0.1, accuracy_loss=0.001))
    assert both == "weight change 0.3 of 0.1 and accuracy loss 0.005 of 0.001"


def test_a_budget_bounds_something() -> None:
    for wrong in ({}, {"weight_change": 0}, {"accuracy_loss": 2}, {"epochs": 1}):
        with pytest.raises(ValidationError):
            DriftBudget.model_validate(wrong)
