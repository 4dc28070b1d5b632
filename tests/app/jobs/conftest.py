from collections.abc import Callable

import pytest

from app.core.db import transaction
from app.domain.lifecycle import JobKind
from app.jobs import service
from app.tables import Dataset, Job, Model, Tenant
from tests.conftest import Home


@pytest.fixture
def model(database: Home, tenant: Tenant) -> str:  # noqa: ARG001 - the database is where it goes
    with transaction() as session:
        session.add(Dataset(id="ds_1", tenant_id=tenant.id, name="d", path="/d", columns={}, classes=2))
        session.flush()
        session.add(
            Model(id="mod_1", tenant_id=tenant.id, name="m", architecture={}, preprocessing={}, dataset_id="ds_1")
        )
    return "mod_1"


@pytest.fixture
def queued(database: Home, tenant: Tenant) -> Callable[..., Job]:  # noqa: ARG001 - the database is where it goes
    def make(model: str | None = None, shards: int = 1) -> Job:
        with transaction() as session:
            return service.enqueue(
                session,
                tenant_id=tenant.id,
                kind=JobKind.UNLEARNING,
                subject_id="fr_1",
                actor="key_1",
                exclusive_model_id=model,
                shards=shards,
            )

    return make
