"""What the demonstration learns from: labelled grey images; `unlearn demo-data` writes some as a manifest."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import typer
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

SEED = 1
TEST_SHARE = 0.2
COLUMNS = {"sample_id": "sample_id", "input": "image", "label": "label", "split": "split"}


@dataclass(frozen=True)
class Pictures:
    """Labelled grey images, split in two."""

    pixels: Tensor  # (N, 1, H, W) uint8
    labels: Tensor  # (N,) int64
    train: Tensor  # (N,) bool


def main(folder: Annotated[Path, typer.Argument(help="Where they are written; it is made.", file_okay=False)]) -> None:
    """Write scikit-learn's handwritten digits as a manifest, and what `unlearn train` asks for beside it."""
    manifest = folder / "digits.parquet"
    if manifest.exists():
        typer.echo(f"{manifest} exists already: name another folder, or remove it.", err=True)
        raise typer.Exit(1)
    write_manifest(digits(), manifest)
    documents = {
        "dataset": {"name": "digits", "path": str(manifest.resolve()), "classes": 10, "columns": COLUMNS},
        "model": {
            "name": "reader",
            "dataset": "digits",
            "architecture": {"name": "small_cnn", "input_shape": [1, 8, 8], "classes": 10, "width": 8, "hidden": 64},
            "preprocessing": {"mean": [0.305], "std": [0.377]},
            "recipe": {"learning_rate": 0.05, "epochs": 12, "batch_size": 64},
        },
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    typer.echo(f"Wrote {manifest}, and dataset.json and model.json beside it.")


def digits() -> Pictures:
    """scikit-learn's digits; a fifth is held out."""
    bunch = load_digits()
    pixels = torch.from_numpy((bunch.images / 16 * 255).round().astype(np.uint8))[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED))
    train = torch.ones(len(labels), dtype=torch.bool)
    train[order[: int(TEST_SHARE * len(labels))]] = False
    return Pictures(pixels, labels, train)


def write_manifest(pictures: Pictures, path: Path) -> None:
    """The Parquet manifest, with PNG images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        "sample_id": sample_ids(torch.arange(len(pictures.labels))),
        "image": [{"bytes": _png(p), "path": None} for p in pictures.pixels[:, 0].numpy()],
        "label": pictures.labels.numpy(),
        "split": ["train" if t else "test" for t in pictures.train.tolist()],
    }
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("sample_id", pa.string()), ("image", image), ("label", pa.int64()), ("split", pa.string())])
    pq.write_table(pa.table(columns, schema=schema), path)


def sample_ids(positions: Tensor) -> list[str]:
    """The ids of the pictures at these positions."""
    return [f"picture-{p:05d}" for p in positions.tolist()]


def _png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    typer.run(main)
