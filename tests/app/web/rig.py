"""The API under a test client, with a key, and ways to have things ready without a worker."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.core.db import reading, transaction
from app.core.params import InputKind
from app.datasets import index
from app.datasets import service as datasets
from app.keys import service as keys
from app.main import create_app
from app.models import service as models
from app.tables import Base, Tenant
from tests.conftest import Home

with warnings.catch_warnings():  # it wants httpx2, which is not there yet
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

TENSORS = {"layer.weight": ("F32", [2, 3]), "layer.bias": ("F32", [2])}
Row = tuple[str, int, str, str | None]  # sample_id, label, split, subject_id


def safetensors(tensors: dict[str, tuple[str, list[int]]] | None = None, *, fill: bytes = b"\0") -> bytes:
    """A file with these tensors, of items of 4 or 8 bytes."""
    header, data = {}, b""
    for name, (dtype, shape) in (tensors or TENSORS).items():
        size = 8 if "64" in dtype else 4
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + size]}
        data += fill * size
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


ROWS: tuple[Row, ...] = tuple(
    [(f"train-{n:02}", n % 2, "train", f"person-{n // 4}") for n in range(20)]
    + [(f"test-{n:02}", n % 2, "test", "person-9") for n in range(6)]
)
"""Twenty training samples in two classes of a possible three, five subjects with four samples each; six for tests."""


@dataclass
class Rig:
    """A client with a key that may do everything."""

    home: Home
    client: TestClient
    key: str
    tenant_id: str = "tn_test"
    extra: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **self.extra, **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def put(self, path: str, **options: Any) -> Any:
        return self.call("PUT", path, **options)

    def other(self, tenant_id: str = "tn_other") -> "Rig":
        """The same service, as another tenant sees it."""
        with transaction() as session:
            session.add(Tenant(id=tenant_id, name=tenant_id))
            session.flush()
            _, key = keys.create(session, tenant_id=tenant_id, name="other", scopes=["*"])
        return Rig(self.home, self.client, key, tenant_id)

    def with_scopes(self, *scopes: str) -> "Rig":
        """The same tenant, with a key that may do less."""
        with transaction() as session:
            _, key = keys.create(session, tenant_id=self.tenant_id, name="less", scopes=scopes)
        return Rig(self.home, self.client, key, self.tenant_id)

    def count(self, table: type[Base]) -> int:
        """Rows of a table."""
        with reading() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def dataset_body(self, name: str = "faces") -> dict[str, Any]:
        """A registration that is right."""
        path = self.home.data / f"{name}.parquet"
        if not path.exists():
            path.touch()
        columns = {"sample_id": "id", "input": "image", "label": "label", "subject_id": "who", "split": "split"}
        return {"name": name, "path": str(path), "columns": columns, "classes": 3}

    def dataset(
        self,
        name: str = "faces",
        rows: Sequence[Row] = ROWS,
        *,
        kind: InputKind = InputKind.IMAGES,
        shape: Sequence[int] = (1, 8, 8),
    ) -> str:
        """The id of a data set that is ready."""
        answer = self.post("/datasets", json=self.dataset_body(name))
        assert answer.status_code == 202, answer.text
        dataset_id: str = answer.json()["id"]
        counts: dict[str, dict[str, int]] = {}
        for _, label, split, _ in rows:
            counts.setdefault(split, {}).setdefault(str(label), 0)
            counts[split][str(label)] += 1
        with transaction() as session:
            datasets.settle(
                session,
                dataset_id,
                sha256="0" * 64,
                rows=len(rows),
                input_kind=kind,
                input_shape=shape,
                counts=counts,
                index_path=str(self.write_index(name, rows)),
            )
        return dataset_id

    def write_index(self, name: str, rows: Sequence[Row]) -> Path:
        """What the validation job writes."""
        path = self.home.path / f"{name}.index.sqlite"
        index.write(path, [(position, *row) for position, row in enumerate(rows)])
        return path

    def model_body(self, name: str = "net", dataset: str = "faces", **changes: Any) -> dict[str, Any]:
        """A registration that is right."""
        return {
            "name": name,
            "architecture": {"name": "mlp", "input_shape": [1, 8, 8], "classes": 3, "layers": 2},
            "preprocessing": {"mean": [0.5], "std": [0.5]},
            "recipe": {"learning_rate": 0.1, "epochs": 2, "initial_seed": 7},
            "dataset": dataset,
            **changes,
        }

    def model(self, name: str = "net", **changes: Any) -> str:
        """The id of a model; its data set is ready."""
        answer = self.post("/models", json=self.model_body(name, **changes))
        assert answer.status_code == 201, answer.text
        model_id: str = answer.json()["id"]
        return model_id

    def upload(self, model: str = "net", content: bytes | None = None, query: str = "") -> Any:
        """The answer to an upload of weights."""
        headers = {"Content-Type": "application/octet-stream"}
        body = safetensors() if content is None else content
        return self.post(f"/models/{model}/versions{query}", content=body, headers=headers)

    def version(self, model: str = "net", *, role: str = "candidate", fisher: bool = True) -> str:
        """The id of a version that is ready, with a stored Fisher diagonal."""
        answer = self.upload(model, query=f"?role={role}")
        assert answer.status_code == 202, answer.text
        version_id: str = answer.json()["id"]
        with transaction() as session:
            models.settle_version(session, version_id)
            if fisher:
                models.store_fisher(session, version_id, path="/nowhere", sha256="0" * 64, count=20)
        return version_id

    def deployed(self, *, fisher: bool = True, **changes: Any) -> str:
        """A data set, a model, a version, and `deployed` pointing to it; the version's id."""
        self.dataset()
        self.model(**changes)
        version = self.version(fisher=fisher)
        assert self.put("/models/net/aliases/deployed", json={"version": version}).status_code == 200
        return version


def problem(answer: Any, status: int, code: str, pointer: str | None = None) -> dict[str, Any]:
    """Assert that the answer is this problem; the document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), document
    assert document["status"] == status
    members = {"type", "title", "status", "detail", "instance", "code", "retryable", "errors"}
    assert members <= set(document)
    if pointer is not None:
        assert pointer in [error["pointer"] for error in document["errors"]], document
    return document


def digest(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()


def _rig(home: Home, tenant: Tenant) -> Iterator[Rig]:
    with transaction() as session:
        _, key = keys.create(session, tenant_id=tenant.id, name="test", scopes=["*"])
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield Rig(home, client, key)


@pytest.fixture
def api(database: Home, tenant: Tenant) -> Iterator[Rig]:
    """On both databases."""
    yield from _rig(database, tenant)


@pytest.fixture
def lone(home: Home, tenant: Tenant) -> Iterator[Rig]:
    """On SQLite only: for what the database has no part in."""
    yield from _rig(home, tenant)
