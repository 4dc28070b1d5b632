from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import select

from app.core.db import reading, transaction
from app.keys import secrets, service
from app.keys.scopes import Scope
from app.main import ROUTERS
from app.tables import ApiKey, AuditLogEntry
from app.tables.base import utcnow
from tests.app.web.rig import Rig, problem

OPEN = {"/healthz", "/readyz", "/signing-keys"}
DECIDING = {
    "/forget-requests/{request_id}/approve": "approve",
    "/forget-requests/{request_id}/reject": "approve",
    "/forget-requests/{request_id}/release": "release",
    "/models/{model}/versions/{version}/purge": "purge",
}
"""Who may change something need not be who decides about it."""


def _scopes(dependant: Any) -> set[Scope]:
    own = {dependant.call.scope} if isinstance(getattr(dependant.call, "scope", None), Scope) else set()
    return own.union(*(_scopes(below) for below in dependant.dependencies))


def test_every_route_declares_one_scope() -> None:
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) > 30
    for route in routes:
        declared = _scopes(route.dependant)
        assert len(declared) == (0 if route.path in OPEN else 1), route.path
        verb = DECIDING.get(route.path) or {"GET": "read"}.get(next(iter(route.methods or ())), "write")
        assert all(scope.value.endswith(f":{verb}") for scope in declared), route.path


def test_a_key_is_recognised_by_its_checksum_before_the_database_is_asked() -> None:
    key = secrets.new_key()
    assert key.startswith("unl_")
    assert len(key) == 4 + 43 + 6
    assert secrets.is_wellformed(key)
    assert not secrets.is_wellformed(key[:-1] + ("a" if key[-1] != "a" else "b"))
    assert not secrets.is_wellformed("unl_" + "é" * 49)


def test_only_an_hmac_of_a_key_is_stored(api: Rig) -> None:
    answer = api.post("/api-keys", json={"name": "ci", "scopes": ["models:read"]})
    assert answer.status_code == 201
    plaintext = answer.json()["key"]

    with reading() as session:
        row = session.scalars(select(ApiKey).where(ApiKey.id == answer.json()["id"])).one()
        entries = session.scalars(select(AuditLogEntry).where(AuditLogEntry.resource == row.id)).all()
    assert row.digest == secrets.digest(plaintext)
    assert plaintext not in repr(vars(row))
    assert [entry.action for entry in entries] == ["api_key.created"]
    assert plaintext not in api.get(answer.headers["location"]).text


@pytest.mark.parametrize(
    "header",
    [None, "Bearer ", "Bearer nonsense", "Basic dXNlcg==", pytest.param(f"Bearer {secrets.new_key()}", id="unknown")],
)
def test_without_a_valid_key_nobody_comes_in(lone: Rig, header: str | None) -> None:
    answer = lone.client.get("/datasets", headers={"Authorization": header} if header else {})
    problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_opens_only_what_its_scopes_say(api: Rig) -> None:
    reader = api.with_scopes("datasets:read")
    assert reader.get("/datasets").status_code == 200
    problem(reader.post("/datasets", json=api.dataset_body()), 403, "scope_missing")


def test_nobody_gives_away_a_scope_that_they_do_not_hold(api: Rig) -> None:
    clerk = api.with_scopes("api-keys:write", "models:read")
    before = api.count(ApiKey)
    problem(clerk.post("/api-keys", json={"name": "x", "scopes": ["*"]}), 403, "scope_not_held")
    assert api.count(ApiKey) == before
    assert clerk.post("/api-keys", json={"name": "x", "scopes": ["models:read"]}).status_code == 201


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"name": "a\x00"}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["root"]}, "/scopes/0"),
        ({"expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
        ({"expires_at": "0001-01-01T00:00:00+14:00"}, "/expires_at"),
    ],
)
def test_wrong_keys_are_refused(lone: Rig, change: dict[str, Any], pointer: str) -> None:
    answer = lone.post("/api-keys", json={"name": "x", "scopes": ["models:read"], **change})
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def test_a_revoked_or_expired_key_opens_nothing(api: Rig) -> None:
    for name in ("revoked", "expired"):
        answer = api.post("/api-keys", json={"name": name, "scopes": ["datasets:read"]})
        row, key = answer.json()["id"], answer.json()["key"]
        holder = Rig(api.home, api.client, key)
        assert holder.get("/datasets").status_code == 200
        if name == "revoked":
            assert api.call("DELETE", f"/api-keys/{row}").status_code == 204
            assert api.call("DELETE", f"/api-keys/{row}").status_code == 204
        else:
            with transaction() as session:
                session.get_one(ApiKey, row).expires_at = utcnow() - timedelta(seconds=1)
        problem(holder.get("/datasets"), 401, "unauthorized")


def test_the_last_use_is_written_at_most_once_a_minute(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[str] = []
    touch = service.touch

    def counting(session: Any, key_id: str) -> None:
        touched.append(key_id)
        touch(session, key_id)

    monkeypatch.setattr(service, "touch", counting)
    for _ in range(3):
        api.get("/datasets")
    assert len(touched) == 1
    with transaction() as session:
        session.get_one(ApiKey, touched[0]).last_used_at = utcnow() - timedelta(seconds=61)
    api.get("/datasets")
    assert len(touched) == 2


def test_keys_of_another_tenant_are_not_there(api: Rig) -> None:
    mine = api.post("/api-keys", json={"name": "x", "scopes": ["models:read"]}).json()["id"]
    other = api.other()
    problem(other.get(f"/api-keys/{mine}"), 404, "no_such_api_key")
    problem(other.call("DELETE", f"/api-keys/{mine}"), 404, "no_such_api_key")
    assert mine not in other.get("/api-keys").text
