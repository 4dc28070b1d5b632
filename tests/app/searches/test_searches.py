import json
from typing import Any

import pytest
from sqlalchemy import select

from app.core.db import reading, transaction
from app.domain.lifecycle import JobKind, JobStatus
from app.jobs import service as jobs
from app.searches import service
from app.searches.service import Result
from app.tables import AuditLogEntry, Job, ModelVersion, OutboxMessage, Search, SearchTrial, Tombstone
from tests.app.web.rig import Rig, problem

SSD = {"method": {"name": "ssd"}}
BACKDOOR = {"kind": "backdoor", "dataset": "faces", "filter": {"label": 0}, "transform": {"name": "tile"}}


def body(target: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "model": "net",
        "target": {"kind": "class", "dataset": "faces", "label": 1} if target is None else target,
        "candidates": [SSD],
        **changes,
    }


def submit(rig: Rig, **changes: Any) -> dict[str, Any]:
    answer = rig.post("/searches", json=body(**changes))
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def finish(search: dict[str, Any], *values: float | None) -> None:
    """Record trials as the worker does."""
    with transaction() as session:
        for number, value in enumerate(values):
            code, detail = ("non_finite", "diverged") if value is None else (None, None)
            document = {"name": "ssd", "fraction": 0.1 + number / 100, "selection": None, "dampening": 1.0}
            searched = {"fraction": document["fraction"]} if number else None
            parts = [] if value is None else [{"accuracy.retain": value}]
            service.record(
                session, search["id"], Result(number, 0, document, searched, value, parts, code, detail, 0.5)
            )


def test_an_accepted_search_is_one_transaction(api: Rig) -> None:
    version = api.deployed()

    answer = api.post("/searches", json=body(trials=7, seed=3))

    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert answer.headers["location"] == f"/searches/{found['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert (found["status"], found["base_version_id"], found["sample_count"]) == ("queued", version, 10)
    assert (found["trials"], found["trials_succeeded"], found["trials_failed"], found["best"]) == (7, 0, 0, None)
    assert found["objective"] == {"name": "gap_to_gold", "direction": "minimize"}
    assert found["validation"] == {"kind": "hold_out", "fraction": 0.2}
    assert found["candidates"][0]["method"]["dampening"] == 0.18
    assert set(found["candidates"][0]["space"]) == {"fraction", "dampening"}
    assert {action["action"] for action in found["next_actions"]} == {"cancel", "read_trials"}
    with reading() as session:
        job = session.get_one(Job, found["job_id"])
        assert (job.kind, job.subject_id, job.exclusive_model_id) == (JobKind.SEARCH, found["id"], None)
        session.scalars(select(OutboxMessage).where(OutboxMessage.job_id == job.id)).one()
        entry = session.scalars(select(AuditLogEntry).where(AuditLogEntry.resource == found["id"])).one()
        assert entry.action == "search.queued"
        assert session.get_one(Search, found["id"]).positions == list(range(1, 20, 2))
    assert api.count(Tombstone) == 0  # a search forgets nothing
    assert api.post("/forget-requests", json={k: v for k, v in body().items() if k != "candidates"}).status_code == 202


def test_nothing_that_comes_out_or_is_logged_names_a_sample_or_a_subject(api: Rig) -> None:
    api.deployed()
    found = submit(api, target={"kind": "subjects", "dataset": "faces", "subject_ids": ["person-1"]})
    with reading() as session:
        log = json.dumps([entry.data for entry in session.scalars(select(AuditLogEntry))])
        row = session.get_one(Search, found["id"])
        assert "person-1" not in json.dumps([found, row.target, log])
        assert row.positions == [4, 5, 6, 7]


@pytest.mark.parametrize(
    ("target", "objective"),
    [
        ({"kind": "class", "dataset": "faces", "label": 1}, ("gap_to_gold", "minimize")),
        ({"kind": "samples", "dataset": "faces", "sample_ids": ["train-01"]}, ("gap_to_gold", "minimize")),
        (BACKDOOR, ("min_accuracy", "maximize")),
    ],
)
def test_the_kind_decides_what_the_trials_go_by(lone: Rig, target: dict[str, Any], objective: tuple[str, str]) -> None:
    lone.deployed()
    method = "rld" if target["kind"] == "backdoor" else "ssd"
    found = submit(lone, target=target, candidates=[{"method": {"name": method}}])["objective"]
    assert (found["name"], found["direction"]) == objective


def test_without_a_recipe_a_class_goes_by_thresholds_and_samples_cannot_be_searched_for(lone: Rig) -> None:
    lone.deployed(recipe=None)
    assert submit(lone)["objective"]["name"] == "gap_to_thresholds"
    samples = {"kind": "samples", "dataset": "faces", "sample_ids": ["train-01", "train-02"]}
    problem(lone.post("/searches", json=body(samples)), 422, "gold_needed", "/gold")
    problem(lone.post("/searches", json=body(gold="retrain")), 422, "recipe_missing", "/gold")


def test_what_the_method_gives_stays_and_the_caller_may_look_elsewhere(lone: Rig) -> None:
    lone.deployed()
    wide = {"kind": "float", "low": 0.2, "high": 0.9, "log": False}
    candidate = {"method": {"name": "ssd", "dampening": 0.5}, "space": {"fraction": wide}}
    found = submit(lone, candidates=[candidate, {"method": {"name": "deepclean", "gamma": 3.0}}])["candidates"]
    assert found[0]["space"] == {"fraction": wide}
    assert found[0]["method"]["dampening"] == 0.5
    assert set(found[1]["space"]) == {"epochs", "learning_rate"}  # gamma leaves no room for fraction


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model": "other"}, "unknown_model", "/model"),
    ({"alias": "other"}, "unknown_alias", "/alias"),
    ({"target": {"kind": "class", "dataset": "faces", "label": 2}}, "empty_target", "/target/label"),
    ({"target": {"kind": "samples", "dataset": "faces", "sample_ids": ["test-00"]}}, "not_training_samples", "/target"),
    ({"candidates": []}, "invalid_request", "/candidates"),
    ({"candidates": [SSD, {"method": {"name": "rld", "epochs": -1}}]}, "invalid_request", "/candidates/1/method"),
    ({"candidates": [SSD, {"method": {"name": "potion"}}]}, "method_does_not_serve", "/candidates/1/method"),
    ({"candidates": [{"method": {"name": "retrain"}}]}, "nothing_to_search", "/candidates/0"),
    ({"candidates": [{"method": {"name": "noisy_finetune"}}]}, "nothing_to_search", "/candidates/0"),
    ({"candidates": [{**SSD, "space": {"fraction": {"kind": "float", "low": 0.5, "high": 1.5}}}]}, "range_too_wide",
     "/candidates/0/space/fraction"),
    ({"candidates": [{**SSD, "space": {"nonesuch": {"kind": "float", "low": 0.1, "high": 0.5}}}]}, "unknown_parameter",
     "/candidates/0/space/nonesuch"),
    ({"candidates": [{**SSD, "space": {"name": {"kind": "choices", "values": ["ssd"]}}}]}, "unknown_parameter",
     "/candidates/0/space/name"),
    ({"candidates": [{"method": {"name": "ssd", "fraction": 0.1},
                      "space": {"fraction": {"kind": "float", "low": 0.1, "high": 0.5}}}]}, "parameter_given",
     "/candidates/0/space/fraction"),
    ({"candidates": [{**SSD, "space": {"fraction": {"kind": "float", "low": 0.5, "high": 0.1}}}]}, "invalid_request",
     "/candidates/0/space/fraction"),
    ({"trials": 1}, "invalid_request", "/trials"),
    ({"trials": 501}, "invalid_request", "/trials"),
    ({"trials": 2, "candidates": [SSD, {"method": {"name": "rld"}}]}, "too_few", "/trials"),
    ({"validation": {"kind": "folds", "count": 1}}, "invalid_request", "/validation"),
    ({"validation": {"kind": "hold_out", "fraction": 0.05}}, "too_few_samples", "/validation"),
    ({"target": BACKDOOR, "candidates": [{"method": {"name": "rld"}}], "gold": "retrain"}, "gold_unused", "/gold"),
    ({"target": {"kind": "leakage", "dataset": "faces", "filter": {"label": 0}, "mask": {
        "name": "mask", "rectangles": [{"top": 0, "left": 0, "height": 2, "width": 2}]}},
      "candidates": [{"method": {"name": "rld"}}]}, "transform_missing", "/target/transform"),
    ({"method": {"name": "ssd"}}, "invalid_request", "/method"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "code", "pointer"), WRONG)
def test_what_cannot_be_searched_is_refused_with_the_field(
    lone: Rig, change: dict[str, Any], code: str, pointer: str
) -> None:
    lone.deployed()
    document = problem(lone.post("/searches", json={**body(), **change}), 422, code)
    assert any(error["pointer"].startswith(pointer) for error in document["errors"]), document
    assert lone.count(Search) == 0


def test_a_method_whose_needs_are_not_met_is_refused(lone: Rig) -> None:
    lone.deployed(fisher=False)
    answer = lone.post("/searches", json=body())
    assert answer.json()["code"] in {"fisher_pending", "method_needs_unmet"}


def test_a_method_that_needs_recorded_deltas_cannot_be_searched_for(lone: Rig) -> None:
    version = lone.deployed()
    with transaction() as session:
        session.get_one(ModelVersion, version).deltas_path = "/d"
    wish = {"method": {"name": "amnesiac"}, "space": {"repair_epochs": {"kind": "int", "low": 0, "high": 3}}}
    answer = lone.post("/searches", json=body(candidates=[wish]))
    problem(answer, 422, "method_not_searchable", "/candidates/0/method")


def test_the_same_idempotency_key_makes_one_search(api: Rig) -> None:
    api.deployed()
    headers = {"Idempotency-Key": "k"}
    first, second = (api.post("/searches", json=body(), headers=headers) for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert api.count(Search) == 1


@pytest.mark.parametrize(
    ("target", "candidate", "best"), [(None, "ssd", 2), (BACKDOOR, "rld", 0)], ids=["minimize", "maximize"]
)
def test_the_best_so_far_is_a_method_that_a_forget_request_takes(
    api: Rig, target: dict[str, Any] | None, candidate: str, best: int
) -> None:
    api.deployed()
    search = submit(api, target=target, candidates=[{"method": {"name": candidate}}])
    finish(search, 0.5, None, 0.25, 0.5)
    found = api.get(f"/searches/{search['id']}").json()
    assert (found["trials_succeeded"], found["trials_failed"], found["best"]["number"]) == (3, 1, best)
    if target is None:
        wish = {"model": "net", "target": body()["target"], "method": found["best"]["method"]}
        assert api.post("/forget-requests", json=wish).json()["method"] == found["best"]["method"]


def test_all_trials_can_be_paged_through(api: Rig) -> None:
    api.deployed()
    search = submit(api)
    finish(search, 0.5, None, 0.25)
    path, numbers, statuses = f"/searches/{search['id']}/trials?limit=2", [], []
    page = api.get(path).json()
    while True:
        numbers += [trial["number"] for trial in page["data"]]
        statuses += [trial["status"] for trial in page["data"]]
        if not page["has_more"]:
            break
        page = api.get(f"{path}&after={page['next_cursor']}").json()
    assert numbers == [2, 1, 0]
    assert statuses == ["succeeded", "failed", "succeeded"]
    assert page["data"][-1]["parts"] == [{"accuracy.retain": 0.5}]


def test_polling_an_unchanged_search_costs_nothing(api: Rig) -> None:
    api.deployed()
    search = submit(api)
    path = f"/searches/{search['id']}"
    etag = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 304
    finish(search, 0.5)
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 200


def test_searches_are_listed_newest_first_and_by_model(api: Rig) -> None:
    api.deployed()
    made = [submit(api, seed=seed)["id"] for seed in range(3)]
    assert [row["id"] for row in api.get("/searches?model=net").json()["data"]] == made[::-1]
    assert api.get("/searches?model=other").json()["data"] == []


def test_a_waiting_search_is_cancelled_at_once_and_its_trials_stay(api: Rig) -> None:
    api.deployed()
    search = submit(api)
    finish(search, 0.5)
    found = api.post(f"/searches/{search['id']}/cancel").json()
    assert (found["status"], found["final"], found["trials_succeeded"]) == ("cancelled", True, 1)
    assert {action["action"] for action in found["next_actions"]} == {"read_trials"}
    problem(api.post(f"/searches/{search['id']}/cancel"), 409, "already_final")


def test_a_running_search_is_told_to_stop(api: Rig) -> None:
    api.deployed()
    search = submit(api)
    with transaction() as session:
        jobs.transition(session, session.get_one(Job, search["job_id"]), JobStatus.RUNNING)
    assert api.post(f"/searches/{search['id']}/cancel").json()["status"] == "cancelling"


def test_another_tenants_search_is_not_there(api: Rig) -> None:
    api.deployed()
    search = submit(api)
    other = api.other()
    for method, path in (("GET", ""), ("GET", "/trials"), ("POST", "/cancel")):
        problem(other.call(method, f"/searches/{search['id']}{path}"), 404, "no_such_search")
    assert other.get("/searches").json()["data"] == []


def test_a_key_needs_the_scope(lone: Rig) -> None:
    lone.deployed()
    reader = lone.with_scopes("searches:read")
    assert reader.get("/searches").status_code == 200
    problem(reader.post("/searches", json=body()), 403, "scope_missing")


def test_trials_of_other_data_are_not_gone_on_from(api: Rig) -> None:
    api.deployed()
    search = submit(api)
    with transaction() as session:
        assert service.begin(session, search["id"], "a" * 64) == []
    finish(search, 0.5, 0.25)
    with transaction() as session:
        assert [trial.number for trial in service.begin(session, search["id"], "a" * 64)] == [0, 1]
    with transaction() as session:
        assert service.begin(session, search["id"], "b" * 64) == []  # something was forgotten meanwhile
    assert api.count(SearchTrial) == 0
