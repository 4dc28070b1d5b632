"""A tiny network on made-up data, registered once and copied in the database, for requests that do not touch.

What one request forgets is missing from D_r of every later one on the same data set. So each request of a benchmark
that compares results has a data set, a model and a version of its own: copies of the same rows, with the same files.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.architectures.mlp import MlpParams
from app.core.db import transaction
from app.core.ids import new_id
from app.tables import Alias, Dataset, Model, ModelVersion
from app.tables.base import Base
from benchmarks.patience import finished
from worker import registry
from worker.numerics.examples import Normalisation, TensorExamples
from worker.numerics.recipe import Recipe
from worker.numerics.training import train

FEATURES, CLASSES, TRAIN, TEST = 8, 4, 320, 160
ARCHITECTURE = MlpParams(input_shape=(FEATURES,), classes=CLASSES, layers=3, width=16)
RECIPE = Recipe(learning_rate=0.05, epochs=10, batch_size=32)
SEED = 1


@dataclass(frozen=True)
class Subject:
    """What a request is about: a model's version and the data set that it was trained on, by their ids."""

    dataset: str
    model: str
    version: str


def sample_ids(positions: Sequence[int]) -> list[str]:
    """The ids of training samples."""
    return [f"s{position:06d}" for position in positions]


def made_up(train_samples: int = TRAIN) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs `(N, D)` around one centre a class, near enough to be confused, and labels `(N,)`; training ones first."""
    generator = torch.Generator().manual_seed(SEED)
    labels = torch.arange(train_samples + TEST) % CLASSES
    centres = torch.randn(CLASSES, FEATURES, generator=generator)
    inputs = centres[labels] + 1.5 * torch.randn(len(labels), FEATURES, generator=generator)
    return inputs, labels


def write_manifest(path: Path, train_samples: int = TRAIN) -> Path:
    """The data as a Parquet manifest of feature lists."""
    inputs, labels = made_up(train_samples)
    columns: dict[str, Any] = {
        "sample_id": sample_ids(range(len(labels))),
        "input": pa.array(inputs.tolist(), pa.list_(pa.float32(), FEATURES)),
        "label": labels.numpy(),
        "split": ["train"] * train_samples + ["test"] * TEST,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def weights(train_samples: int = TRAIN) -> bytes:
    """The network trained by its recipe, as a safetensors file."""
    inputs, labels = made_up(train_samples)
    rows = torch.arange(train_samples)
    examples = TensorExamples(inputs[rows], labels[rows], rows, Normalisation((0.0,), (1.0,)))
    return save(dict(train(registry.builder(ARCHITECTURE), RECIPE, examples, seed=SEED)))


def register(http: httpx.Client, manifest: Path, content: bytes, name: str = "tiny") -> Subject:
    """Data set, model and version over HTTP, with all their jobs; ready, its Fisher diagonal stored, and deployed."""
    columns = {"sample_id": "sample_id", "input": "input", "label": "label", "split": "split"}
    document = {"name": name, "path": str(manifest), "columns": columns, "classes": CLASSES}
    dataset = _made(http.post("/datasets", json=document))
    finished(http, dataset["job_id"])
    model = _made(
        http.post(
            "/models",
            json={
                "name": name,
                "architecture": ARCHITECTURE.model_dump(mode="json"),
                "preprocessing": {"mean": [0.0], "std": [1.0]},
                "recipe": {**asdict(RECIPE), "optimizer": "sgd", "initial_seed": SEED},
                "dataset": name,
            },
        )
    )
    headers = {"Content-Type": "application/octet-stream"}
    version = _made(http.post(f"/models/{name}/versions", content=content, headers=headers))
    finished(http, version["job_id"])
    finished(http, _made(http.get(f"/models/{name}/versions/{version['id']}"))["job_id"])
    _made(http.put(f"/models/{name}/aliases/deployed", json={"version": version["id"]}))
    return Subject(dataset["id"], model["id"], version["id"])


def copies(subject: Subject, count: int) -> list[Subject]:
    """As many more, with the same files and names of their own."""
    with transaction() as session:
        return [_copy(session, subject) for _ in range(count)]


def _copy(session: Session, subject: Subject) -> Subject:
    copied = Subject(new_id("ds"), new_id("mod"), new_id("mv"))
    dataset = session.get_one(Dataset, subject.dataset)
    session.add(_like(dataset, id=copied.dataset, name=f"copy-{copied.dataset}"))
    session.flush()
    model = session.get_one(Model, subject.model)
    session.add(_like(model, id=copied.model, name=f"copy-{copied.model}", dataset_id=copied.dataset))
    session.flush()
    session.add(_like(session.get_one(ModelVersion, subject.version), id=copied.version, model_id=copied.model))
    session.flush()
    alias = session.scalars(select(Alias).where(Alias.model_id == subject.model)).one()
    session.add(_like(alias, id=new_id("alias"), model_id=copied.model, version_id=copied.version))
    session.flush()
    return copied


Row = TypeVar("Row", bound=Base)


def _like(row: Row, **other: object) -> Row:
    columns = {column.key: getattr(row, column.key) for column in row.__mapper__.column_attrs}
    return type(row)(**{**columns, **other})


def _made(response: httpx.Response) -> Any:
    if response.is_error:
        raise RuntimeError(f"{response.request.method} {response.request.url}: {response.status_code} {response.text}")
    return response.json()
