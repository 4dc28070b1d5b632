"""From an empty service over HTTP to signed reports, on both databases and with both executors."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load, save

from app.core.db import transaction
from app.core.ids import new_id
from app.core.settings import get_settings
from app.core.signing import public_key_of, verify
from app.keys import service as keys
from app.tables import Tenant
from tests.conftest import Home, sqlite_home
from tests.journeys import material
from tests.journeys.service import Api, running

QUICK_RLD = {"name": "rld", "learning_rate": 1e-3, "penalty_strength": 1e3, "epochs": 3, "batch_size": 32}


@pytest.fixture(scope="module")
def embedded(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """SQLite and the local executor, as `unlearn serve` runs them; one service for all journeys of this file."""
    with sqlite_home(tmp_path_factory.mktemp("embedded"), sqlite_template) as home, serving(home, celery=False) as api:
        yield api


@pytest.fixture
def deployed(postgresql_home: Home, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """PostgreSQL, Redis and a Celery worker, as docker compose runs them."""
    monkeypatch.setenv("UNLEARN_REDIS_URL", redis_url)
    monkeypatch.setenv("UNLEARN_EXECUTOR", "celery")
    get_settings.cache_clear()
    with serving(postgresql_home, celery=True) as api:
        yield api


@contextmanager
def serving(home: Home, *, celery: bool) -> Iterator[Api]:
    with transaction() as session:
        tenant = Tenant(id=new_id("tn"), name="journey")
        session.add(tenant)
        session.flush()
        _, key = keys.create(session, tenant_id=tenant.id, name="journey", scopes=["*"])
    material.write_parquet(home.data / "digits.parquet")
    with running(home, key, celery=celery) as api:
        register(api, home)
        yield api


def register(api: Api, home: Home) -> None:
    dataset = {"name": "digits", "path": str(home.data / "digits.parquet"), "columns": material.COLUMNS, "classes": 10}
    api.succeeded(api.call("POST", "/datasets", 202, json=dataset)["job_id"])
    api.call("POST", "/models", 201, json=material.model_in("reader"))
    version = upload(api, material.weights())
    api.succeeded(version["job_id"])
    api.deploy("reader", version["id"])


def upload(api: Api, content: bytes) -> dict[str, str]:
    headers = {"Content-Type": "application/octet-stream"}
    version: dict[str, str] = api.call("POST", "/models/reader/versions", 202, content=content, headers=headers)
    return version


def ids(positions: list[int]) -> list[str]:
    return [f"d{p:04d}" for p in positions]


def sample_of(label: int) -> list[str]:
    """One sample of a class that no other journey touches."""
    return ids(material.positions_of_class(label)[-1:])


def values(report: dict[str, object]) -> dict[tuple[str, str], dict[str, float]]:
    return {(f["measure"], f["on"]): f for f in report["body"]["findings"]}  # type: ignore[index]


def test_a_model_forgets_three_things_one_after_the_other_on_the_embedded_service(embedded: Api) -> None:
    forget_three_things(embedded)


@pytest.mark.services
def test_a_model_forgets_three_things_one_after_the_other_on_postgresql_and_celery(deployed: Api) -> None:
    forget_three_things(deployed)


def forget_three_things(api: Api) -> None:
    # (a) samples, by retraining, with a gold; of DeepClean's result the audit would say that it shows traces
    first = material.positions_of_class(1)[:20]
    target: dict[str, Any] = {"kind": "samples", "dataset": "digits", "sample_ids": ids(first)}
    wish = {"model": "reader", "target": target, "method": {"name": "retrain"}, "audit": {"gold": "retrain"}}
    samples = api.forget(**wish, external_id="DSAR-1")
    report = api.report(samples)
    body = report["body"]
    assert verify(report["envelope"], public_key_of(get_settings().signing_key.get_secret_value()))["predicate"] == body
    assert body["sizes"]["forget"] == 20
    assert body["sizes"]["retain"] == material.TRAIN - 20
    assert body["cost"]["gold_seconds"] > 0
    assert all(f["gold"] is not None for f in body["findings"] if f["metric"] != "mia_reference")
    assert body["verdict"] == "inconclusive"  # 20 samples are too few for a pass
    assert {(f["measure"], f["on"]) for f in body["findings"]} >= {("accuracy", "forget"), ("attack_auc", "forget")}
    assert not any(i in str(body) for i in ids(first))

    # asked again, it answers with the request that did it
    again = api.http.post("/forget-requests", json=wish)
    assert again.status_code == 409
    assert again.json()["code"] == "already_forgotten"
    assert again.json()["forget_request"] == samples["id"]

    # (b) a class, on the result of (a); the 20 samples are never used again
    api.deploy("reader", samples["result_version_id"])
    target = {"kind": "class", "dataset": "digits", "label": 1}
    request = api.forget(model="reader", target=target, method=QUICK_RLD)
    assert request["base_version_id"] == samples["result_version_id"]
    body = api.report(request)["body"]
    ones = len(material.positions_of_class(1))
    assert body["sizes"]["forget"] == ones - 20
    assert body["sizes"]["retain"] == material.TRAIN - ones
    accuracy = values(api.report(request))["accuracy", "forget"]
    assert accuracy["after"] < accuracy["before"]

    # (c) the backdoor
    api.deploy("reader", request["result_version_id"])
    positions = material.positions_of_class(material.TRIGGERED_CLASS)
    trigger = material.TRIGGER.model_dump(mode="json")
    target = {"kind": "backdoor", "dataset": "digits", "sample_ids": ids(positions), "transform": trigger}
    request = api.forget(model="reader", target=target, method=QUICK_RLD)
    found = values(api.report(request))
    assert {on for measure, on in found if measure == "accuracy"} >= {
        "retain",
        "forget",
        "forget_clean",
        "retain_extra",
    }
    assert found["accuracy", "retain_extra"]["after"] != found["accuracy", "retain_extra"]["before"]
    assert api.report(request)["body"]["sizes"]["retain"] == material.TRAIN - ones - len(positions)

    # the new weights can be fetched and are those of the report
    version = request["result_version_id"]
    content = api.http.get(f"/models/reader/versions/{version}/weights").content
    assert load(content).keys() == load(material.weights()).keys()


def test_what_goes_wrong_stays_where_it_is(embedded: Api) -> None:
    api = embedded
    # weights with NaN, and of another architecture: the version says why, the next upload is served
    good = load(material.weights())
    name = next(iter(good))
    broken = upload(api, save({**good, name: good[name] * float("nan")}))
    other = upload(api, save({**good, "more": good[name].clone()}))
    for version, code in ((broken, "non_finite"), (other, "wrong_names")):
        assert api.finished(version["job_id"])["status"] == "failed"
        told = api.call("GET", f"/models/reader/versions/{version['id']}", 200)
        assert (told["status"], told["status_reason"]) == ("invalid", code)
    api.succeeded(upload(api, material.weights())["job_id"])

    # a method that cannot work on this input: the request fails with a reason, its samples can be asked for again
    target = {"kind": "samples", "dataset": "digits", "sample_ids": sample_of(4)}
    hopeless = {"name": "rld", "learning_rate": 1.0, "penalty_strength": 0, "epochs": 50, "forget_strength": 1e9}
    accepted = api.call("POST", "/forget-requests", 202, json={"model": "reader", "target": target, "method": hopeless})
    assert api.finished(accepted["job_id"])["status"] == "failed"
    request = api.call("GET", f"/forget-requests/{accepted['id']}", 200)
    assert (request["status"], request["status_reason"]) == ("failed", "non_finite")
    api.forget(model="reader", target=target, method=QUICK_RLD)


def test_every_kind_and_every_method_can_be_asked_for(embedded: Api) -> None:
    wishes: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
        ({"kind": "subjects", "subject_ids": ["p3"]}, None),
        ({"kind": "class", "label": 7}, {"name": "truncation"}),
        ({"kind": "samples", "sample_ids": sample_of(5)}, {**QUICK_RLD, "name": "rnd"}),
        ({"kind": "samples", "sample_ids": sample_of(6)}, {"name": "retrain"}),
        (
            {"kind": "leakage", "filter": {"label": 8}, "transform": material.TRIGGER.model_dump(mode="json"),
             "mask": {"name": "mask", "rectangles": [{"top": 0, "left": 0, "height": 2, "width": 2}]}},
            QUICK_RLD,
        ),
    ]  # fmt: skip
    for target, method in wishes:
        wish = {"model": "reader", "target": {**target, "dataset": "digits"}, **({"method": method} if method else {})}
        request = embedded.forget(**wish)
        body = embedded.report(request)["body"]
        assert body["findings"]
        if method == {"name": "truncation"}:
            assert body["verdict"] == "mitigation_only"
        if method is None:
            assert request["method_chosen_by"] == "auto"
            assert request["method_reason"]


def test_clean_counterparts_stand_in_for_an_unknown_trigger(embedded: Api) -> None:
    prefix = get_settings().data_prefixes[0]
    path = material.write_parquet(prefix / "clean.parquet", clean=True)
    dataset = {"name": "clean", "path": str(path), "columns": material.COLUMNS, "classes": 10}
    embedded.succeeded(embedded.call("POST", "/datasets", 202, json=dataset)["job_id"])
    target = {"kind": "backdoor", "dataset": "digits", "sample_ids": sample_of(2), "pairs": "clean"}
    found = values(embedded.report(embedded.forget(model="reader", target=target, method=QUICK_RLD)))
    assert ("accuracy", "forget_clean") in found
    assert ("accuracy", "retain_extra") not in found  # without T nobody can add it to other data


def test_a_running_job_is_cancelled_and_the_next_one_runs(embedded: Api) -> None:
    def submit(label: int, **more: object) -> dict[str, str]:
        target = {"kind": "samples", "dataset": "digits", "sample_ids": sample_of(label)}
        wish = {"model": "reader", "target": target, "method": QUICK_RLD, **more}
        accepted: dict[str, str] = embedded.call("POST", "/forget-requests", 202, json=wish)
        return accepted

    long = submit(0, audit={"gold": "retrain", "gold_seeds": 10})
    following = submit(9)
    while embedded.call("GET", f"/jobs/{long['job_id']}", 200)["status"] == "queued":
        time.sleep(0.05)
    cancelled = embedded.http.post(f"/forget-requests/{long['id']}/cancel")
    assert cancelled.is_success
    assert embedded.finished(long["job_id"])["status"] == "cancelled"
    assert embedded.call("GET", f"/forget-requests/{long['id']}", 200)["status"] == "cancelled"
    embedded.succeeded(following["job_id"])


def test_a_request_is_approved_and_its_result_released_by_another_key_than_the_submitters(embedded: Api) -> None:
    api = embedded
    scopes = ["forget-requests:read", "forget-requests:approve", "forget-requests:release"]
    key = api.call("POST", "/api-keys", 201, json={"name": "privacy officer", "scopes": scopes})["key"]
    officer = {"Authorization": f"Bearer {key}"}

    def govern(**policy: Any) -> None:
        seen = {"If-Match": api.http.get("/models/reader/policy").headers["ETag"]}
        api.call("PUT", "/models/reader/policy", 200, json=policy, headers=seen)

    def decide(request: Any, what: str) -> Any:
        path = f"/forget-requests/{request['id']}"
        seen = {"If-Match": api.http.get(path).headers["ETag"]}
        return api.call("POST", f"{path}/{what}", 200, headers={**officer, **seen})

    govern(approval="one", release="hold", release_on=["pass", "inconclusive"], margins={"accuracy": 0.1})
    before = api.call("GET", "/models/reader/aliases/deployed", 200)
    one = ids(material.positions_of_class(0)[:1])  # one right answer is no surprise: inconclusive, whatever is answered
    target = {"kind": "samples", "dataset": "digits", "sample_ids": one}
    audit = {"metrics": [{"name": "accuracy"}]}
    wish = {"model": "reader", "target": target, "method": {"name": "retrain"}, "audit": audit}
    request = api.call("POST", "/forget-requests", 202, json=wish)
    assert (request["status"], request["job_id"]) == ("awaiting_approval", None)

    request = decide(request, "approve")
    api.succeeded(request["job_id"])

    request = api.call("GET", f"/forget-requests/{request['id']}", 200)
    assert (request["status"], request["status_reason"]) == ("awaiting_release", "release_required")
    assert api.call("GET", "/models/reader/aliases/deployed", 200) == before
    version = f"/models/reader/versions/{request['result_version_id']}"
    assert api.call("GET", version, 200)["status"] == "held"
    assert api.call("GET", f"{version}/weights", 409)["code"] == "version_held"
    body = api.report(request)["body"]
    assert body["asked"]["policy"]["margins"] == {"accuracy": 0.1}
    assert {f["margin"] for f in body["findings"] if f["outcome"] != "not_judged"} == {0.1}

    request = decide(request, "release")
    assert [step["status"] for step in request["transitions"]] == [
        "received", "awaiting_approval", "queued", "running", "verifying", "awaiting_release", "completed",
    ]  # fmt: skip
    moved = api.call("GET", "/models/reader/aliases/deployed", 200)
    assert (moved["version_id"], moved["revision"]) == (request["result_version_id"], before["revision"] + 1)
    govern()
