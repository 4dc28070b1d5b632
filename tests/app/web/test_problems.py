import json
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from app.core.settings import get_settings
from app.tables import ApiKey, Dataset, OutboxMessage
from app.web import pages
from tests.app.web.rig import Rig, problem

CANARY = "ada.lovelace@example.org"


def test_unknown_paths_and_methods_are_problems(lone: Rig) -> None:
    problem(lone.get("/nowhere"), 404, "no_such_path")
    answer = lone.call("PATCH", "/datasets")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize("body", ["{", "[1,", '{"a": ' + "1" * 5000 + "}", "[" * 100_000, b"\xff\xfe"])
def test_what_is_not_json_is_a_400(lone: Rig, body: str | bytes) -> None:
    answer = lone.post("/datasets", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] in {"invalid_json", "bad_request"}
    assert lone.count(Dataset) == 0


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": CANARY}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"path": "/data/\x00" + CANARY}, "/path"),
        ({"classes": 10**30}, "/classes"),
        ({"classes": CANARY}, "/classes"),
        ({"columns": {"sample_id": "id", "input": "x", "label": "\x00" + CANARY}}, "/columns/label"),
        ({"columns": CANARY}, "/columns"),
        ({CANARY: 1}, "/…"),
        ({"surplus": CANARY}, "/surplus"),
    ],
)
def test_a_wrong_field_is_pointed_to_and_its_value_never_repeated(
    lone: Rig, change: dict[str, Any], pointer: str
) -> None:
    answer = lone.post("/datasets", json={**lone.dataset_body(), **change})

    problem(answer, 422, "invalid_request", pointer)
    assert CANARY not in answer.text
    assert lone.count(Dataset) == 0


def test_a_lone_surrogate_is_refused_before_the_database(api: Rig) -> None:
    body = json.dumps({**api.dataset_body(), "path": "/data/SURROGATE"}).replace("SURROGATE", "\\ud800")

    answer = api.post("/datasets", content=body, headers={"Content-Type": "application/json"})

    problem(answer, 422, "invalid_request", "/path")


def test_the_tag_of_a_union_is_neither_pointed_to_nor_repeated(lone: Rig) -> None:
    body = {"model": "net", "target": {"kind": "samples", "dataset": "faces", "sample_ids": [CANARY, 7]}}

    problem(lone.post("/forget-requests", json=body), 422, "invalid_request", "/target/sample_ids/1")
    answer = lone.post("/forget-requests", json={**body, "target": {"kind": CANARY}})
    problem(answer, 422, "invalid_request", "/target")
    assert CANARY not in answer.text
    missing = {"model": "net", "target": {"kind": "samples", "dataset": "faces"}}
    problem(lone.post("/forget-requests", json=missing), 422, "invalid_request", "/target/sample_ids")


def test_an_unknown_query_parameter_is_an_error_on_every_route(lone: Rig) -> None:
    for path in ("/datasets", "/methods", "/healthz", "/models/net", "/api-keys"):
        problem(lone.get(path, params={"stauts": "queued"}), 422, "unknown_parameter", "query")


@pytest.mark.parametrize(("query", "pointer"), [("limit=0", "query/limit"), ("limit=101", "query/limit")])
def test_a_page_has_at_most_a_hundred_rows(lone: Rig, query: str, pointer: str) -> None:
    problem(lone.get(f"/datasets?{query}"), 422, "invalid_request", pointer)


@pytest.mark.parametrize("cursor", ["!", "AAAA", "é", "bW9kZWw", "=", "a" * 200])
def test_a_cursor_that_is_not_ours_is_a_400(lone: Rig, cursor: str) -> None:
    problem(lone.get("/datasets", params={"after": cursor}), 400, "bad_cursor")


def test_pages_follow_each_other_without_a_gap(api: Rig) -> None:
    names = [f"set-{number}" for number in range(5)]
    for name in names:
        assert api.post("/datasets", json=api.dataset_body(name)).status_code == 202
    seen: list[str] = []
    query = {"limit": "2"}
    while True:
        page = api.get("/datasets", params=query).json()
        seen += [row["name"] for row in page["data"]]
        if not page["has_more"]:
            break
        query["after"] = page["next_cursor"]

    assert seen == names[::-1]
    assert page["next_cursor"] is None


def test_a_body_over_the_limit_is_a_413_declared_or_not(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_BODY_LIMIT_BYTES", "2048")
    get_settings.cache_clear()
    headers = {"Content-Type": "application/json"}
    problem(lone.post("/datasets", content=b" " * 3000, headers=headers), 413, "content_too_large")
    chunks = (b" " * 1000 for _ in range(3))
    problem(lone.post("/datasets", content=chunks, headers=headers), 413, "content_too_large")
    # Elsewhere an octet stream is no upload:
    octets = {"Content-Type": "application/octet-stream"}
    problem(lone.post("/datasets", content=b" " * 3000, headers=octets), 413, "content_too_large")


def test_what_nobody_expected_is_a_500_without_internals(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(pages, "fetch", broken)
    monkeypatch.setattr("app.datasets.service.fetch", broken)

    answer = lone.get("/datasets")

    problem(answer, 500, "internal_error")
    assert CANARY not in answer.text


def test_a_database_that_does_not_answer_is_a_503_to_be_tried_again(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: object, **_options: object) -> None:
        raise OperationalError("SELECT", None, Exception(CANARY))

    monkeypatch.setattr("app.datasets.service.fetch", away)

    answer = lone.get("/datasets")

    assert problem(answer, 503, "database_unavailable")["retryable"]
    assert answer.headers["Retry-After"] == "5"
    assert CANARY not in answer.text


def test_a_commit_that_fails_is_a_500_and_never_a_202(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    body = api.dataset_body()
    api.get("/datasets")  # the key's last use is written down before the sabotage
    keys, relayed = api.count(ApiKey), []

    def sabotage(_session: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("app.outbox.service.relay", lambda: relayed.append(1))
    with monkeypatch.context() as patch:
        patch.setattr("app.core.db.Session.commit", sabotage)
        answer = api.post("/datasets", json=body)

    problem(answer, 500, "internal_error")
    assert (api.count(Dataset), api.count(OutboxMessage), api.count(ApiKey)) == (0, 0, keys)
    assert relayed == []


def test_the_outbox_is_relayed_after_the_commit(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr("app.outbox.service.relay", lambda: seen.append(api.count(OutboxMessage)))

    api.post("/datasets", json=api.dataset_body())

    assert seen == [1]
