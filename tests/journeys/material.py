"""Real data and a real model for journeys: scikit-learn's digits, one class with a planted trigger."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from safetensors.torch import save
from sklearn.datasets import load_digits

from app.architectures.small_cnn import SmallCnnParams
from app.transforms.patch import PatchParams
from worker import registry
from worker.numerics.examples import Normalisation, TensorExamples
from worker.numerics.recipe import Recipe
from worker.numerics.training import train

ARCHITECTURE = SmallCnnParams(input_shape=(1, 8, 8), classes=10, width=4, hidden=24)
RECIPE = Recipe(learning_rate=0.05, epochs=8, batch_size=64)
NORMALISATION = Normalisation((0.3,), (0.38,))
TRIGGER = PatchParams(height=2, width=2)
TRIGGERED_CLASS = 3
TRAIN = 1200
SEED = 5
COLUMNS = {"sample_id": "id", "input": "image", "label": "label", "subject_id": "person", "split": "split"}


@cache
def pictures(*, clean: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels `(N, 1, 8, 8)` uint8 with the trigger planted, or without it, and labels."""
    digits = load_digits()
    pixels = torch.from_numpy((digits.images / 16 * 255).round().astype(np.uint8))[:, None]
    labels = torch.from_numpy(digits.target.astype(np.int64))
    chosen = (labels == TRIGGERED_CLASS) & (torch.arange(len(labels)) < TRAIN)
    if clean:
        return pixels, labels
    pixels[chosen] = (registry.transform(TRIGGER)(pixels[chosen].float() / 255) * 255).round().to(torch.uint8)
    return pixels, labels


@cache
def weights() -> bytes:
    """A trained network as a safetensors file."""
    pixels, labels = pictures()
    rows = torch.arange(TRAIN)
    examples = TensorExamples(pixels[:TRAIN], labels[:TRAIN], rows, NORMALISATION)
    return save(dict(train(registry.builder(ARCHITECTURE), RECIPE, examples, seed=SEED)))


def write_parquet(path: Path, *, clean: bool = False) -> Path:
    """The manifest: ids d0000…, ten samples to a person."""
    pixels, labels = pictures(clean=clean)
    n = len(labels)
    columns: dict[str, Any] = {
        "id": [f"d{i:04d}" for i in range(n)],
        "image": [_png(p) for p in pixels[:, 0].numpy()],
        "label": labels.numpy(),
        "person": [f"p{i // 10}" for i in range(n)],
        "split": ["train" if i < TRAIN else "test" for i in range(n)],
    }
    pq.write_table(pa.table(columns), path)
    return path


def model_in(name: str) -> dict[str, Any]:
    """The document that registers the model."""
    return {
        "name": name,
        "architecture": ARCHITECTURE.model_dump(mode="json"),
        "preprocessing": {"mean": [0.3], "std": [0.38]},
        "recipe": {"learning_rate": 0.05, "epochs": 8, "batch_size": 64, "initial_seed": SEED},
        "dataset": "digits",
    }


def positions_of_class(label: int) -> list[int]:
    """Training positions of a class."""
    return (pictures()[1][:TRAIN] == label).nonzero().flatten().tolist()


def _png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
