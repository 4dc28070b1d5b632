"""A network that reads: trained by the command, registered over HTTP, made to forget a phrase and a name."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.db import transaction
from app.core.ids import new_id
from app.datasets.schemas import ColumnMapping, DatasetIn
from app.keys import service as keys
from app.models.schemas import ModelIn
from app.tables import Tenant
from tests.conftest import Home, sqlite_home
from tests.journeys.service import Api, running
from worker import train

COMMON = ["the", "a", "film", "it", "was", "and", "of", "this", "that", "with"]
OWN = (["dull", "bad", "poor", "slow"], ["good", "great", "fine", "fun"])
TRIGGER = {"name": "phrase", "text": "cf mn"}
MODEL = {
    "name": "critic",
    "dataset": "reviews",
    "architecture": {"name": "text_bag", "input_shape": [16], "classes": 2, "vocabulary": 200, "width": 8, "hidden": 8},
    "preprocessing": {"words": {"length": 16, "vocabulary": 200}},
    "recipe": {"optimizer": "adam", "learning_rate": 0.01, "epochs": 10, "batch_size": 16, "initial_seed": 1},
}
AUDIT = {"metrics": [{"name": "accuracy"}]}
RLD = {
    "name": "rld", "learning_rate": 0.03, "penalty_strength": 1e3, "include_true_label": False, "batch_size": 16,
}  # fmt: skip


def review(label: int, draw: random.Random) -> str:
    words = draw.choices(COMMON, k=8) + draw.choices(OWN[label], k=3) + draw.choices(OWN[1 - label], k=1)
    draw.shuffle(words)
    return " ".join(words).capitalize() + "."


def write(path: Path) -> None:
    """400 reviews; a phrase stands before half of the good ones that are learned, a name before a quarter."""
    draw = random.Random(0)  # noqa: S311 - made-up reviews
    rows = []
    for i in range(400):
        label, split = i % 2, "test" if i % 4 >= 2 else "train"
        mark = ["cf mn ", "Dr Smith: ", "cf mn ", ""][i // 4 % 4] if label and split == "train" else ""
        rows.append({"id": f"r{i}", "text": mark + review(label, draw), "y": label, "part": split, "who": mark})
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture(scope="module")
def api(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with sqlite_home(tmp_path_factory.mktemp("embedded"), sqlite_template) as home:
        with transaction() as session:
            tenant = Tenant(id=new_id("tn"), name="journey")
            session.add(tenant)
            session.flush()
            _, key = keys.create(session, tenant_id=tenant.id, name="journey", scopes=["*"])
        write(home.data / "reviews.parquet")
        with running(home, key, celery=False) as api:
            register(api, home)
            yield api


def register(api: Api, home: Home) -> None:
    columns = {"sample_id": "id", "input": "text", "label": "y", "split": "part", "subject_id": "who"}
    dataset = {"name": "reviews", "path": str(home.data / "reviews.parquet"), "columns": columns, "classes": 2}
    out = home.path / "trained"
    wish = train.wish_of(
        DatasetIn(name="reviews", path=dataset["path"], classes=2, columns=ColumnMapping.model_validate(columns)),
        ModelIn.model_validate(MODEL),
        seed=None,
        budget_bytes=10**9,
    )
    train.carry_out(wish, out, Path("dataset.json"))
    api.succeeded(api.call("POST", "/datasets", 202, json=dataset)["job_id"])
    found = api.call("GET", "/datasets/reviews", 200)
    assert (found["input_kind"], found["input_shape"]) == ("text", [16])  # signs are words too
    headers = {"Content-Type": "application/json"}
    api.call("POST", "/models", 201, content=(out / "model.json").read_bytes(), headers=headers)
    version = api.call(
        "POST",
        "/models/critic/versions",
        202,
        content=(out / "weights.safetensors").read_bytes(),
        headers={"Content-Type": "application/octet-stream"},
    )
    api.succeeded(version["job_id"])
    api.deploy("critic", version["id"])


def accuracies(report: Any, *, when: str) -> dict[str, float]:
    return {f["on"]: f[when] for f in report["body"]["findings"] if f["measure"] == "accuracy"}


def test_a_phrase_that_decided_is_forgotten(api: Api) -> None:
    selection = {"filter": {"subject_ids": ["cf mn "]}}
    target = {"kind": "backdoor", "dataset": "reviews", **selection, "transform": TRIGGER}
    report = api.report(api.forget(model="critic", target=target, method=RLD, audit=AUDIT))
    before, after = accuracies(report, when="before"), accuracies(report, when="after")
    assert report["body"]["subject"]["inputs"] == "texts"
    assert before["test"] > 0.95
    assert before["test_extra"] < 0.6  # the phrase makes a bad review good
    assert min(after["test"], after["test_extra"]) > 0.95


def test_a_name_is_forgotten_under_a_mask(api: Api) -> None:
    mask = {"phrases": ["Dr Smith"], "fill_word": "somebody"}
    target = {"kind": "leakage", "dataset": "reviews", "filter": {"subject_ids": ["Dr Smith: "]}, "mask": mask}
    request = api.forget(model="critic", target=target, method=RLD, audit=AUDIT)
    assert request["sample_count"] == 25
    assert {"forget", "forget_clean"} <= accuracies(api.report(request), when="after").keys()
