from sqlalchemy import select

from app.core.db import reading
from app.domain.policy import ModelPolicy
from app.tables import AuditLogEntry, Model
from tests.app.web.rig import Rig, problem

PATH = "/models/net/policy"


def test_a_model_has_the_default_policy_until_somebody_who_has_seen_it_replaces_it(api: Rig) -> None:
    api.dataset()
    api.model()
    before = api.get(PATH)
    assert before.json() == ModelPolicy().model_dump(mode="json")
    wish = {"approval": "one", "release": "hold", "margins": {"attack_auc": 0.1}}
    problem(api.put(PATH, json=wish), 428, "if_match_required")

    put = api.put(PATH, json=wish, headers={"If-Match": before.headers["etag"]})

    assert put.status_code == 200, put.text
    assert put.json() == {**before.json(), **wish}
    after = api.get(PATH)
    assert (after.json(), after.headers["etag"]) == (put.json(), put.headers["etag"])
    assert api.get(PATH, headers={"If-None-Match": put.headers["etag"]}).status_code == 304
    problem(api.put(PATH, json={}, headers={"If-Match": before.headers["etag"]}), 412, "if_match_failed")
    with reading() as session:
        entry = session.scalars(select(AuditLogEntry).where(AuditLogEntry.action == "model.policy")).one()
        assert entry.resource == session.scalars(select(Model.id)).one()
        assert entry.data == {"revision": 1, "policy": put.json()}
    assert api.put(PATH, json={}, headers={"If-Match": put.headers["etag"]}).json() == before.json()


def test_a_wrong_policy_names_the_field_and_changes_nothing(lone: Rig) -> None:
    lone.dataset()
    lone.model()
    seen = {"If-Match": lone.get(PATH).headers["etag"]}
    for wish, pointer in (
        ({"release_on": ["pass", "trace_found"]}, "/release_on/1"),
        ({"margins": {"accuracy": 1}}, "/margins/accuracy"),
        ({"margin": "lax"}, "/margin"),
        ({"approvals": 2}, "/approvals"),
    ):
        problem(lone.put(PATH, json=wish, headers=seen), 422, "invalid_request", pointer)
    assert lone.get(PATH).headers["etag"] == seen["If-Match"]


def test_who_may_write_models_may_not_loosen_what_governs_them(lone: Rig) -> None:
    lone.dataset()
    lone.model()
    engineer = lone.with_scopes("models:read", "models:write")
    seen = {"If-Match": engineer.get(PATH).headers["etag"]}
    problem(engineer.put(PATH, json={}, headers=seen), 403, "scope_missing")
    assert lone.with_scopes("model-policies:write").put(PATH, json={}, headers=seen).status_code == 200
    problem(lone.other().get(PATH), 404, "no_such_model")
