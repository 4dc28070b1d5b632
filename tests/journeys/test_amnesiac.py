"""Deltas from recording to report: trained by the command, registered by path, taken back in two requests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file

from app.core.db import transaction
from app.core.ids import new_id
from app.datasets.schemas import ColumnMapping, DatasetIn
from app.keys import service as keys
from app.models.schemas import ModelIn
from app.tables import Tenant
from tests.conftest import Home, sqlite_home
from tests.journeys import material
from tests.journeys.service import Api, running
from worker import registry, train

MODEL = {
    **material.model_in("reader"),
    "recipe": {"learning_rate": 0.05, "epochs": 4, "batch_size": 64, "initial_seed": 1},
}
AUDIT = {"metrics": [{"name": "accuracy"}, {"name": "weight_distance"}], "gold": "retrain"}
ALONE = {"name": "amnesiac", "repair_epochs": 0}


@pytest.fixture(scope="module")
def home(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with sqlite_home(tmp_path_factory.mktemp("embedded"), sqlite_template) as home:
        path = material.write_parquet(home.data / "digits.parquet")
        columns = ColumnMapping.model_validate(material.COLUMNS)
        wish = train.Wish(
            DatasetIn(name="digits", path=str(path), classes=10, columns=columns),
            ModelIn.model_validate(MODEL),
            budget_bytes=10**9,
            deltas_bytes=10**8,
        )
        train.carry_out(wish, home.data / "trained", Path("dataset.json"))
        yield home


@pytest.fixture(scope="module")
def api(home: Home) -> Iterator[Api]:
    with transaction() as session:
        tenant = Tenant(id=new_id("tn"), name="journey")
        session.add(tenant)
        session.flush()
        _, key = keys.create(session, tenant_id=tenant.id, name="journey", scopes=["*"])
    with running(home, key, celery=False) as api:
        dataset = {"name": "digits", "path": str(home.data / "digits.parquet"), "columns": material.COLUMNS}
        api.succeeded(api.call("POST", "/datasets", 202, json={**dataset, "classes": 10})["job_id"])
        api.call("POST", "/models", 201, json=json.loads((home.data / "trained" / "model.json").read_text()))
        yield api


def registered(api: Api, folder: Path, deltas: Path) -> Any:
    body = {"path": str(folder / "weights.safetensors"), "deltas_path": str(deltas)}
    return api.call("POST", "/models/reader/versions", 202, json=body)


def weights(api: Api, version: str) -> dict[str, torch.Tensor]:
    return load(api.http.get(f"/models/reader/versions/{version}/weights").content)


def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def less(folder: Path, *ids: int) -> dict[str, torch.Tensor]:
    """The weights without the steps that saw one of the samples, worked out here."""
    found, left = load_file(folder / "deltas.safetensors"), load_file(folder / "weights.safetensors")
    hit = torch.isin(found["positions"], torch.tensor(ids)).any(1)
    assert 0 < hit.sum() < len(hit)
    names = list(load_file(folder / "initial-weights.safetensors"))
    order = [name for name, _ in registry.builder(material.ARCHITECTURE)(0).named_parameters()]
    assert sorted(names) == sorted(order)
    pieces = torch.split(found["deltas"][hit].double().sum(0), [left[name].numel() for name in order])
    return {name: (left[name] - piece.view_as(left[name])).float() for name, piece in zip(order, pieces, strict=True)}


def test_deltas_are_taken_back_request_by_request(api: Api, home: Home) -> None:
    folder = home.data / "trained"
    version = registered(api, folder, folder / "deltas.safetensors")
    api.succeeded(version["job_id"])
    api.deploy("reader", version["id"])

    def forget(sample: int, method: dict[str, Any]) -> Any:
        target = {"kind": "samples", "dataset": "digits", "sample_ids": [f"d{sample:04d}"]}
        return api.forget(model="reader", target=target, method=method, audit=AUDIT)

    first = forget(20, ALONE)
    assert apart(weights(api, first["result_version_id"]), less(folder, 20)) < 1e-6
    facts = api.report(first)["body"]["method_facts"]
    assert (facts["batches"], facts["batches_taken_back"]) == (76, 4)  # 1,200 samples, 64 at a time, 4 epochs

    second = forget(33, ALONE)  # it builds on what the first has made
    assert apart(weights(api, second["result_version_id"]), less(folder, 20, 33)) < 1e-6

    third = forget(40, {"name": "finetune", "epochs": 1})
    wish = {
        "model": "reader",
        "version": third["result_version_id"],
        "target": {"kind": "samples", "dataset": "digits", "sample_ids": ["d0050"]},
        "method": ALONE,
    }
    refused = api.call("POST", "/forget-requests", 422, json=wish)
    assert refused["code"] == "method_needs_unmet"  # what is fine-tuned is no sum of steps any more


@pytest.mark.parametrize("wrong", ["step", "sample", "data"])
def test_deltas_of_something_else_are_found_out(api: Api, home: Home, wrong: str) -> None:
    folder = home.data / "trained"
    tensors, facts = load_file(folder / "deltas.safetensors"), json.loads((folder / "training.json").read_text())
    data_sha256 = facts["data_sha256"]
    if wrong == "step":
        tensors["deltas"][7] *= 2
    elif wrong == "sample":
        tensors["positions"][7, 0] = material.TRAIN + 1
    else:
        data_sha256 = "0" * 64
    path = home.data / f"{wrong}.safetensors"
    save_file(tensors, path, {"facts": json.dumps({"data_sha256": data_sha256})})

    version = registered(api, folder, path)

    assert api.finished(version["job_id"])["status"] == "failed"
    found = api.call("GET", f"/models/reader/versions/{version['id']}", 200)
    assert found["status"] == "invalid"
    assert found["status_reason"] == ("misfit" if wrong == "step" else "deltas_differ")
