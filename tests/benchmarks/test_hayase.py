"""What is measured of a part goes beside what was measured of it before."""

from benchmarks.hayase import gathered, merged


def test_rows_that_are_not_measured_anew_stay() -> None:
    before = {"B": {"rld": {"D_r": 0.1}, "consistency": {"D_r": 0.2}}, "C": {"rld": {"D_r": 0.3}}}
    now = {"B": {"consistency": {"D_r": 0.4}, "retrain": {"D_r": 0.5}}}
    assert merged(before, now) == {
        "B": {"rld": {"D_r": 0.1}, "consistency": {"D_r": 0.4}, "retrain": {"D_r": 0.5}},
        "C": {"rld": {"D_r": 0.3}},
    }
    assert merged({}, now) == now


def test_a_row_is_gathered_over_the_runs_that_have_it() -> None:
    found = gathered([{"B": {"rld": {"D_r": 0.1}}}, {"B": {"rld": {"D_r": 0.3}, "retrain": {"D_r": 0.5}}}])
    assert found["B"]["rld"]["D_r"] == {"mean": 0.2, "std": 0.1414, "n": 2}
    assert found["B"]["retrain"]["D_r"] == {"mean": 0.5, "std": 0.0, "n": 1}
