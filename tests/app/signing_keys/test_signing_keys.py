"""The ring of signing keys: one signs, the retired are believed, the revoked are not."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.core.db import now, reading, transaction
from app.core.errors import Conflict, NotFound
from app.core.settings import get_settings
from app.core.signing import key_id, new_signing_key, public_key_of
from app.signing_keys import service
from app.tables import AuditLogEntry, SigningKey, Tenant
from tests.app.web.rig import Rig


def rotated() -> tuple[str, str]:
    """The key of the settings, retired, and the new one: their ids."""
    old = public_key_of(get_settings().signing_key.get_secret_value())
    new = public_key_of(new_signing_key())
    with transaction() as session:
        service.enrol(session, old)
        service.enrol(session, new)
    return key_id(old), key_id(new)


def test_the_first_key_signs_and_is_written_down_in_every_tenants_log(api: Rig) -> None:
    api.other()
    with transaction() as session:
        private = service.in_force(session)
        assert service.in_force(session) == private
    with reading() as session:
        entries = session.scalars(select(AuditLogEntry).where(AuditLogEntry.action == "signing_key.active")).all()
    assert {entry.tenant_id for entry in entries} == {"tn_test", "tn_other"}
    assert {entry.resource for entry in entries} == {key_id(public_key_of(private))}
    assert private not in repr([vars(entry) for entry in entries])


def test_anybody_may_fetch_the_public_keys(api: Rig) -> None:
    old, new = rotated()
    answer = api.client.get("/signing-keys")  # without a key of the API
    assert answer.status_code == 200
    assert [(key["key_id"], key["state"]) for key in answer.json()["keys"]] == [(new, "active"), (old, "retired")]
    assert get_settings().signing_key.get_secret_value() not in answer.text


def test_a_retired_key_signs_during_the_overlap_and_not_after(api: Rig) -> None:
    old, _ = rotated()
    with transaction() as session:
        assert service.in_force(session) == get_settings().signing_key.get_secret_value()
        session.get_one(SigningKey, old).not_after = now(session) - timedelta(seconds=1)
        with pytest.raises(Conflict) as problem:
            service.in_force(session)
    assert problem.value.code == "signing_key_retired"
    assert api.client.get("/signing-keys").json()["keys"][1]["state"] == "retired"


def test_a_revoked_key_says_why_and_signs_no_more(api: Rig) -> None:
    old, new = rotated()
    with transaction() as session:
        service.revoke(session, old[:12], reason="laptop stolen")
        with pytest.raises(Conflict):
            service.in_force(session)
        with pytest.raises(Conflict):  # it signs: another one must first
            service.revoke(session, new, reason="x")
    shown = api.client.get("/signing-keys").json()["keys"][1]
    assert (shown["state"], shown["revocation_reason"]) == ("revoked", "laptop stolen")


@pytest.mark.parametrize("name", ["%", "", "nothing"])
def test_only_one_key_is_revoked_at_a_time(database: object, tenant: Tenant, name: str) -> None:  # noqa: ARG001
    rotated()
    with transaction() as session, pytest.raises(NotFound):
        service.revoke(session, name, reason="x")
