"""The tables of the paper, with its figures where it has any."""

from pathlib import Path

import pytest

from benchmarks.hayase import KNOWN, PAPER, PARTS, gathered
from benchmarks.hayase_report import NAMES, plot, tables

CLASS = {"pretrained": {"D_f": 0.8, "D_r": 0.9}, "rld": {"D_f": 0.01, "D_r": 0.85}, "rld_paper": {"D_f": 0, "D_r": 1}}
SETS = {"D_r": 0.7, "D_f": 0.2, "D_f_clean": 0.9, "D_r_extra": 0.5, "seconds": 9.0}
RESULT = {
    "paper": PAPER,
    "known": KNOWN,
    "cifar10": {"cifar10_cnn": gathered([{"B": {"rld": SETS}}])},
    "fashion_mnist": {"line": gathered([{"B": {"rld": SETS}, "C": {"ce": SETS}}] * 2), "A": gathered([CLASS])},
}


def test_the_papers_own_setting_stands_beside_what_the_paper_reports() -> None:
    lines = tables(RESULT).splitlines()
    assert "|  | D_r | D_f | n | the paper: D_r, D_f |" in lines
    assert "| rld_paper | 1.000 ± 0.000 | 0.000 ± 0.000 | 1 | 0.819, 0.012 |" in lines
    assert "| rld | 0.850 ± 0.000 | 0.010 ± 0.000 | 1 |  |" in lines


def test_patterns_are_tables_in_the_order_of_the_parts_and_know_only_their_own_figures_from_elsewhere() -> None:
    found = tables(RESULT).split("**")
    titles = found[1::2]
    assert [title.split(", ", 1)[1] for title in titles] == [
        "ten-layer perceptron, a class",
        "ten-layer perceptron, line, pattern B",
        "ten-layer perceptron, line, pattern C",
        "small CNN, tile, pattern B",
    ]
    by_title = dict(zip(titles, found[2::2], strict=True))
    line, other, cifar = (by_title[title] for title in titles[1:])
    assert "| 2 | 0.708, 0.247, 0.984, 0.722 |" in line
    assert "elsewhere" not in other
    assert "elsewhere" not in cifar


def test_the_picture_shows_every_table(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(RESULT, tmp_path / "found.png")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")


def test_what_was_before_comes_first_whenever_it_was_measured() -> None:
    rows = dict.fromkeys(("consistency", "retrain", "pretrained", "ce"), SETS)
    body = tables({**RESULT, "fashion_mnist": {}, "cifar10": {"cifar10_cnn": gathered([{"B": rows}])}}).splitlines()[4:]
    assert [row.split("|")[1].strip() for row in body] == ["pretrained", "retrain", "consistency", "ce"]


def test_no_part_is_left_out_of_the_tables() -> None:
    assert set(NAMES) == set(PARTS)
