"""What a search of hyper-parameters goes by, and which way is better."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["maximize", "minimize"]


class Objective(StrEnum):
    """One number for a trial, from what is measured on validation data."""

    MIN_ACCURACY = "min_accuracy"
    """Of a backdoor or a leakage: the smallest of the pattern's accuracies."""
    GAP_TO_GOLD = "gap_to_gold"
    """Of samples and classes: the mean distance to a model that was retrained without them."""
    GAP_TO_THRESHOLDS = "gap_to_thresholds"
    """Of a class, where nothing can be retrained: the mean distance to what the verdict asks for."""


DIRECTIONS: Mapping[Objective, Direction] = {
    Objective.MIN_ACCURACY: "maximize",
    Objective.GAP_TO_GOLD: "minimize",
    Objective.GAP_TO_THRESHOLDS: "minimize",
}
