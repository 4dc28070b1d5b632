"""A version is superseded when an alias has moved on to what a forget request made of it."""

from app.core.db import reading, transaction
from app.domain.lifecycle import VersionStatus
from app.forget_requests import planning
from app.tables import ForgetRequest, ModelVersion
from tests.app.forget_requests.deciding import carry_out, deployed, govern
from tests.app.forget_requests.test_forget_requests import samples, submit
from tests.app.forget_requests.test_planning import deploy
from tests.app.forget_requests.test_releases import RETRAIN, actions_on, status_of
from tests.app.web.rig import Rig, problem

READY, SUPERSEDED = VersionStatus.READY, VersionStatus.SUPERSEDED


def made(rig: Rig, *ids: str) -> str:
    """The version that a request for these samples makes."""
    version: str = carry_out(rig, submit(rig, samples(*ids), **RETRAIN))["result_version_id"]
    return version


def test_the_version_that_an_alias_leaves_for_its_descendant_is_superseded_until_it_is_pointed_to_again(
    api: Rig,
) -> None:
    base = api.deployed()
    new = made(api, "train-01")
    assert status_of(base) is READY
    deploy(api, new)
    assert (status_of(base), status_of(new)) == (SUPERSEDED, READY)
    found = api.get(f"/models/net/versions/{base}").json()
    assert (found["status_reason"], found["status_detail"]) == ("deployed_since", new)
    assert api.post("/models/net/aliases/deployed/rollback").status_code == 200
    assert (status_of(base), status_of(new)) == (READY, READY)
    assert actions_on(base)[-2:] == ["version.superseded", "version.ready"]


def test_versions_that_were_skipped_are_superseded_and_those_of_other_aliases_are_not(api: Rig) -> None:
    base = api.deployed()
    first = made(api, "train-01")
    second = made(api, "train-02")
    assert api.put("/models/net/aliases/canary", json={"version": second}).status_code == 200
    assert (status_of(base), status_of(first)) == (READY, SUPERSEDED)
    deploy(api, second)
    assert (status_of(base), status_of(first), status_of(second)) == (SUPERSEDED, SUPERSEDED, READY)


def test_only_what_has_not_forgotten_is_superseded(api: Rig) -> None:
    base = api.deployed()
    new = made(api, "train-01")
    deploy(api, new)
    elsewhere = api.version()
    with transaction() as session:  # as an upload with ?parent=
        session.get_one(ModelVersion, elsewhere).parent_id = new
    deploy(api, elsewhere)
    assert (status_of(base), status_of(new)) == (SUPERSEDED, READY)
    deploy(api, api.version())
    assert status_of(elsewhere) is READY


def test_a_release_supersedes_what_it_replaces(api: Rig) -> None:
    base = api.deployed()
    govern(api, release="auto")
    new = made(api, "train-01")
    assert (deployed(api), status_of(base)) == (new, SUPERSEDED)


def test_a_superseded_version_can_still_be_used_where_it_is_named(lone: Rig) -> None:
    base = lone.deployed()
    queued = submit(lone, samples("train-05"), version=base)
    deploy(lone, made(lone, "train-01"))
    assert lone.get(f"/models/net/versions/{base}/weights").status_code == 200
    assert submit(lone, samples("train-06"), version=base)["base_version_id"] == base
    with reading() as session:
        planning.check(session, session.get_one(ForgetRequest, queued["id"]))
    over = carry_out(lone, queued)
    assert over["status"] == "completed"


def test_a_superseded_version_on_the_way_of_another_alias_is_still_built_on(lone: Rig) -> None:
    base = lone.deployed()
    assert lone.put("/models/net/aliases/canary", json={"version": base}).status_code == 200
    first = made(lone, "train-01")
    second = made(lone, "train-02")
    assert lone.put("/models/net/aliases/third", json={"version": second}).status_code == 200
    assert status_of(first) is SUPERSEDED
    assert submit(lone, samples("train-03"))["base_version_id"] == second
    etag = {"If-Match": lone.get(f"/models/net/versions/{first}").headers["etag"]}
    refusal = lone.post(f"/models/net/versions/{first}/purge", json={"reason": "x"}, headers=etag)
    assert problem(refusal, 409, refusal.json()["code"])["status"] == 409
    with reading() as session:
        assert session.get_one(ModelVersion, second).parent_id == first
