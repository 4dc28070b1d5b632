"""A metric's finding arrives in the report with all that the verdict needs."""

from statistics import pstdev

from worker.numerics.outcome import Contrast, Finding
from worker.reported import reported


def test_nothing_that_the_verdict_needs_is_lost() -> None:
    contrast = Contrast("gold", 0.1, 0.02, 0.3, 50, 0.4, 0.01, 26)
    found = Finding(
        metric="m", measure="accuracy", on="forget", direction="gold", n=50, before=0.9, after=0.7, no_op=0.9,
        gold=(0.6, 0.5), interval=(0.6, 0.8), error=0.05, gold_interval=(0.1, 0.2), gold_error=0.03, contrast=contrast,
    )  # fmt: skip

    told = reported(found, seed=7)

    assert told.contrast is not None
    assert told.contrast.model_dump() == {
        "against": "gold", "value": 0.1, "error": 0.02, "control": 0.3, "n": 50, "spread": 0.4, "floor": 0.01,
        "least": 26,
    }  # fmt: skip
    assert (told.standard_error, told.difference_interval, told.seed) == (0.05, (0.1, 0.2), 7)
    assert told.gold is not None
    assert (round(told.gold.mean, 9), told.gold.std, told.gold.models) == (0.55, pstdev((0.6, 0.5)), 2)
    assert told.difference_to_gold is not None
    assert round(told.difference_to_gold, 9) == 0.15
    assert told.outcome == "not_judged"


def test_without_gold_there_is_no_difference() -> None:
    found = Finding("m", "accuracy", "test", "higher", 5, 0.5, 0.5, 0.5, (), (0.1, 0.9))
    told = reported(found, seed=0)
    assert (told.gold, told.difference_to_gold, told.difference_interval, told.contrast) == (None, None, None, None)
