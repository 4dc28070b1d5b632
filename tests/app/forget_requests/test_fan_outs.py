"""A request without a model goes to every model that was trained on the data and has a version deployed."""

import itertools
from typing import Any

import pytest

from app.domain.lifecycle import RequestStatus as R
from app.domain.lifecycle import is_final
from app.forget_requests.fan_outs import status_of
from app.tables import FanOut, ForgetRequest, Tombstone
from tests.app.forget_requests.test_forget_requests import samples
from tests.app.forget_requests.test_planning import finish, start
from tests.app.web.rig import Rig, problem


def wish(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {"target": {"dataset": "faces", **samples(f"train-{number:02}")}, **changes}


def two_models(rig: Rig, **changes: Any) -> None:
    """`net` and `other` have a version deployed, `idle` has none; `stranger` was trained on other data."""
    rig.deployed()
    rig.model("other", **changes)
    rig.model("idle")
    rig.dataset("places")
    rig.model("stranger", dataset="places")
    for model in ("other", "stranger"):
        version = rig.version(model)
        assert rig.put(f"/models/{model}/aliases/deployed", json={"version": version}).status_code == 200


def test_every_deployed_model_gets_a_child(api: Rig) -> None:
    two_models(api)
    answer = api.post("/forget-requests", json=wish(external_id="DSAR-9"))
    assert answer.status_code == 202, answer.text
    found = answer.json()
    here = f"/forget-requests/{found['id']}"
    assert answer.headers["location"] == here
    assert [child["model"] for child in found["children"]] == ["net", "other"]
    assert (found["status"], found["final"], found["counts"]) == ("queued", False, {"queued": 2})
    assert api.get(here).json() == found
    listed = api.get(f"/forget-requests?parent={found['id']}").json()["data"]
    assert {row["id"] for row in listed} == {child["id"] for child in found["children"]}
    assert {row["parent_id"] for row in listed} == {found["id"]}
    assert {row["external_id"] for row in listed} == {"DSAR-9"}
    assert api.count(Tombstone) == 2


def test_it_is_completed_when_all_children_are(api: Rig) -> None:
    two_models(api)
    found = api.post("/forget-requests", json=wish()).json()
    here = f"/forget-requests/{found['id']}"
    first, second = api.get(f"/forget-requests?parent={found['id']}").json()["data"]
    finish(first)
    half = api.get(here).json()
    assert (half["status"], half["counts"]) == ("running", {"completed": 1, "queued": 1})
    finish(second)
    over = api.get(here).json()
    assert (over["status"], over["final"]) == ("completed", True)
    assert all(child["result_version_id"] for child in over["children"])
    problem(api.post(f"{here}/cancel"), 409, "already_final")


def test_who_cancels_it_cancels_its_children(api: Rig) -> None:
    two_models(api)
    found = api.post("/forget-requests", json=wish()).json()
    first, _ = api.get(f"/forget-requests?parent={found['id']}").json()["data"]
    assert start(first) is not None
    cancelled = api.post(f"/forget-requests/{found['id']}/cancel").json()
    assert (cancelled["status"], cancelled["counts"]) == ("cancelling", {"cancelling": 1, "cancelled": 1})


def test_children_join_the_jobs_of_requests_that_name_the_model(api: Rig) -> None:
    two_models(api)
    named = api.post("/forget-requests", json=wish(2, model="net")).json()
    found = api.post("/forget-requests", json=wish()).json()
    jobs = {row["job_id"] for row in api.get(f"/forget-requests?parent={found['id']}").json()["data"]}
    assert named["job_id"] in jobs
    assert len(api.get(f"/forget-requests?job={named['job_id']}").json()["data"]) == 2


def test_if_one_model_cannot_none_is_asked_to_and_the_answer_names_it(lone: Rig) -> None:
    two_models(lone, recipe=None)
    answer = lone.post("/forget-requests", json=wish(method={"name": "retrain"}))
    found = problem(answer, 422, "method_needs_unmet", "/method")
    assert found["model"] == "other"
    assert "Model other" in found["errors"][0]["message"]
    assert (lone.count(ForgetRequest), lone.count(FanOut), lone.count(Tombstone)) == (0, 0, 0)


def test_models_that_have_forgotten_it_are_listed_and_when_all_have_there_is_nothing_to_do(lone: Rig) -> None:
    two_models(lone)
    named = lone.post("/forget-requests", json=wish(model="net")).json()
    found = lone.post("/forget-requests", json=wish()).json()
    assert [child["model"] for child in found["children"]] == ["other"]
    (covered,) = found["already_forgotten"]
    assert (covered["model"], covered["forget_request"], covered["code"]) == ("net", named["id"], "already_requested")
    again = problem(lone.post("/forget-requests", json=wish()), 409, "already_requested")
    assert len(again["covered"]) == 2


def test_what_belongs_to_one_model_needs_its_name(lone: Rig) -> None:
    two_models(lone)
    gold = "mv_" + "0" * 32
    for wrong, pointer in (
        ({"target": {"kind": "class", "dataset": "faces", "label": 1}}, "/model"),
        ({"version": gold}, "/version"),
        ({"audit": {"gold": "registered", "gold_versions": [gold]}}, "/audit/gold_versions"),
    ):
        problem(lone.post("/forget-requests", json={**wish(), **wrong}), 422, "model_required", pointer)
    problem(lone.post("/forget-requests", json=wish(alias="staging")), 422, "nothing_deployed", "/target/dataset")


def test_another_tenant_does_not_see_it(lone: Rig) -> None:
    two_models(lone)
    found = lone.post("/forget-requests", json=wish()).json()
    other = lone.other()
    problem(other.get(f"/forget-requests/{found['id']}"), 404, "no_such_forget_request")
    problem(other.post(f"/forget-requests/{found['id']}/cancel"), 404, "no_such_forget_request")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_it_is_over_when_its_children_are_and_completed_only_if_all_are(size: int) -> None:
    for states in itertools.combinations_with_replacement(R, size):
        counts = {state: states.count(state) for state in states}
        status = status_of(counts)
        assert is_final(status) is all(map(is_final, states)), states
        assert (status is R.COMPLETED) is (set(states) == {R.COMPLETED}), states
        if all(map(is_final, states)):
            assert (status is R.FAILED) is (R.FAILED in states), states
