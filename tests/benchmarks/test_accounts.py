"""What the benchmark of faults counts as lost, published twice, stuck or different; by hand."""

from dataclasses import replace

import pytest

from benchmarks.accounts import Account, Found, running_again, settle, spread

GOOD = Found(
    external_id="a", status="completed", final=True, version_ids=("mv_1",), report_ids=("ar_1",), weights_sha256="d"
)


def account(*found: Found) -> Account:
    return settle({"a": "d"}, found)


def test_one_result_one_report_and_the_undisturbed_weights_are_clean() -> None:
    assert account(GOOD).clean


def test_what_is_not_there_is_lost() -> None:
    assert account() == Account(asked=1, lost=["a"], twice=[], stuck=[], different=[])


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_what_ended_without_a_result_is_lost(status: str) -> None:
    ended = replace(GOOD, status=status, version_ids=(), report_ids=(), weights_sha256=None)
    assert account(ended) == Account(asked=1, lost=["a"], twice=[], stuck=[], different=[])


def test_what_has_come_to_no_end_is_stuck() -> None:
    waiting = replace(GOOD, status="queued", final=False, version_ids=(), report_ids=(), weights_sha256=None)
    assert account(waiting) == Account(asked=1, lost=[], twice=[], stuck=["a"], different=[])


@pytest.mark.parametrize(
    "found",
    [
        (GOOD, replace(GOOD, version_ids=("mv_2",), report_ids=("ar_2",))),
        (replace(GOOD, version_ids=("mv_1", "mv_2")),),
        (replace(GOOD, report_ids=("ar_1", "ar_2")),),
        (replace(GOOD, report_ids=()),),
    ],
)
def test_two_of_anything_are_one_too_many(found: tuple[Found, ...]) -> None:
    assert account(*found) == Account(asked=1, lost=[], twice=["a"], stuck=[], different=[])


def test_a_result_before_the_end_is_published_wrongly() -> None:
    early = replace(GOOD, status="running", final=False)
    assert account(early).twice == ["a"]


@pytest.mark.parametrize("digest", ["e", None])
def test_other_weights_are_different(digest: str | None) -> None:
    assert account(replace(GOOD, weights_sha256=digest)).different == ["a"]


def test_a_request_that_nobody_made_is_different() -> None:
    assert account(GOOD, replace(GOOD, external_id="b")).different == ["b"]


def test_a_job_runs_again_with_its_next_attempt() -> None:
    transitions = [
        {"status": "queued", "at": "0", "attempt": 0},
        {"status": "running", "at": "1", "attempt": 1},
        {"status": "queued", "at": "2", "attempt": 1},
        {"status": "running", "at": "3", "attempt": 2},
        {"status": "running", "at": "4", "attempt": 3},
    ]
    assert running_again(transitions, 1) == "3"
    assert running_again(transitions, 3) is None


def test_the_spread_of_nothing_has_no_numbers() -> None:
    assert spread([]) == {"median": None, "max": None, "measured": 0}
    assert spread([1.0, 5.0, 2.0]) == {"median": 2.0, "max": 5.0, "measured": 3}
