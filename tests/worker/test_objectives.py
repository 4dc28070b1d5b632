import pytest

from app.domain.objective import DIRECTIONS, Objective
from worker.objectives import OBJECTIVES, gap_to_gold, gap_to_thresholds, min_accuracy


def test_the_smallest_accuracy_counts_and_not_the_mean() -> None:
    assert min_accuracy({"accuracy.retain": 0.9, "accuracy.forget_clean": 0.8, "accuracy.retain_extra": 0.5}, {}) == 0.5


def test_the_gap_to_gold_is_the_mean_distance_whichever_side() -> None:
    gold = {"accuracy.forget": 0.8, "accuracy.retain": 1.0, "accuracy.test": 0.8, "attack_auc.forget": 0.5}
    found = {"accuracy.forget": 0.9, "accuracy.retain": 0.9, "accuracy.test": 0.7, "attack_auc.forget": 0.6}
    assert gap_to_gold(found, gold) == pytest.approx(0.1)
    assert gap_to_gold(gold, gold) == 0


def test_to_forget_a_class_without_gold_costs_what_is_still_known_and_what_is_lost() -> None:
    before = {"accuracy.retain": 0.9, "accuracy.forget": 1.0}
    assert gap_to_thresholds({"accuracy.retain": 0.7, "accuracy.forget": 0.1}, before) == pytest.approx(0.15)
    assert gap_to_thresholds({"accuracy.retain": 0.95, "accuracy.forget": 0.0}, before) == 0


def test_every_objective_has_a_function_and_a_direction() -> None:
    assert OBJECTIVES.keys() == DIRECTIONS.keys() == set(Objective)
