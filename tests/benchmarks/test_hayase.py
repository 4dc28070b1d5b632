"""What is measured of a part goes beside what was measured of it before."""

import pytest

from benchmarks.hayase import beside, gathered, main, stamped


def run(**rows: float) -> dict[str, dict[str, dict[str, float]]]:
    return {"B": {name: {"D_r": value} for name, value in rows.items()}}


BEFORE = {"0": run(rld=0.1, consistency=0.2), "1": run(rld=0.3, consistency=0.4)}


def test_rows_that_are_not_measured_anew_stay_and_no_row_is_a_mixture() -> None:
    found = beside(BEFORE, {"0": run(consistency=0.9)}, other_seeds=False)
    assert found == {"0": run(rld=0.1, consistency=0.9), "1": run(rld=0.3)}
    assert beside({}, {"0": run(rld=0.5)}, other_seeds=False) == {"0": run(rld=0.5)}


def test_a_seed_that_is_asked_for_goes_beside_the_others() -> None:
    found = beside(BEFORE, {"10": run(rld=0.5), "1": run(rld=0.7)}, other_seeds=True)
    assert found == {"0": BEFORE["0"], "1": run(rld=0.7, consistency=0.4), "10": run(rld=0.5)}
    assert list(found) == ["0", "1", "10"]


def test_a_row_is_gathered_over_the_runs_that_have_it() -> None:
    found = gathered([run(rld=0.1), stamped(run(rld=0.3, retrain=0.5), "abc")])
    assert found["B"]["rld"]["D_r"] == {"mean": 0.2, "std": 0.1414, "n": 2}
    assert found["B"]["retrain"]["D_r"] == {"mean": 0.5, "std": 0.0, "n": 1}


@pytest.mark.parametrize("part", [["--part", "cnn"], ["--part", "A"], []])
def test_a_row_that_is_not_there_is_refused_before_anything_is_trained(
    part: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*part, "--method", "B.nonesuch"])
    assert "no B.nonesuch there" in capsys.readouterr().err
