import pytest
from sqlalchemy import text

from app.core.db import transaction
from app.core.settings import get_settings
from tests.app.web.rig import Rig


def test_health_needs_no_key(lone: Rig) -> None:
    assert lone.client.get("/healthz").json() == {"status": "ok"}
    answer = lone.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "checks": {"database": True, "storage": True}})


def test_an_old_schema_is_not_ready(api: Rig) -> None:
    with transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))

    answer = api.client.get("/readyz")

    assert (answer.status_code, answer.json()["checks"]["database"]) == (503, False)


def test_storage_that_cannot_be_made_is_not_ready(lone: Rig) -> None:
    (lone.home.path / "storage").write_text("a file stands where the folder should be")

    answer = lone.client.get("/readyz")

    assert (answer.status_code, answer.json()["checks"]["storage"]) == (503, False)


def test_a_broker_that_does_not_answer_is_not_ready(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = get_settings().model_copy(update={"executor": "celery", "redis_url": "redis://127.0.0.1:1/0"})
    monkeypatch.setattr("app.web.health.get_settings", lambda: settings)

    answer = lone.client.get("/readyz")

    assert (answer.status_code, answer.json()["checks"]["broker"]) == (503, False)
