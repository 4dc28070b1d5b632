"""What is measured of a part goes beside what was measured of it before."""

import pytest

from benchmarks.hayase import beside, gathered, main


def run(**rows: float) -> dict[str, dict[str, dict[str, float]]]:
    return {"B": {name: {"D_r": value} for name, value in rows.items()}}


def test_rows_that_are_not_measured_anew_stay_and_no_row_is_a_mixture() -> None:
    before = [run(rld=0.1, consistency=0.2), run(rld=0.3, consistency=0.4)]
    assert beside(before, [run(consistency=0.9)]) == [run(rld=0.1, consistency=0.9), run(rld=0.3)]
    assert beside([], [run(rld=0.5)]) == [run(rld=0.5)]


def test_a_row_is_gathered_over_the_runs_that_have_it() -> None:
    found = gathered([run(rld=0.1), run(rld=0.3, retrain=0.5)])
    assert found["B"]["rld"]["D_r"] == {"mean": 0.2, "std": 0.1414, "n": 2}
    assert found["B"]["retrain"]["D_r"] == {"mean": 0.5, "std": 0.0, "n": 1}


@pytest.mark.parametrize("part", [["--part", "cnn"], ["--part", "A"], []])
def test_a_row_that_is_not_there_is_refused_before_anything_is_trained(
    part: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*part, "--method", "B.nonesuch"])
    assert "no B.nonesuch there" in capsys.readouterr().err
