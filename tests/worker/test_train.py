"""`unlearn train` writes what registration takes, goes on where it was killed, and says what is wrong."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import typer
from safetensors.torch import load_file
from typer.testing import CliRunner

from app.datasets.schemas import DatasetIn
from app.models.schemas import ModelIn
from app.models.service import check_fit
from worker import demo_data, registry
from worker import train as command
from worker.artifacts import read_deltas
from worker.datasets import Manifest, decode, read_index, validate
from worker.numerics import descent
from worker.numerics.run import Quiet

COLUMNS = {"sample_id": "id", "input": "x", "label": "y", "split": "part"}
MODEL: dict[str, Any] = {
    "name": "net",
    "dataset": "points",
    "architecture": {"name": "mlp", "input_shape": [2], "classes": 2, "layers": 2, "width": 4},
    "preprocessing": {"mean": [0.0], "std": [1.0]},
    "recipe": {"learning_rate": 0.2, "epochs": 4, "batch_size": 8},
}
Edit = Callable[[dict[str, Any], dict[str, Any]], object]


def documents(folder: Path, edit: Edit = lambda _dataset, _model: None, *, split: str = "train") -> tuple[str, str]:
    """A manifest of points on both sides of a line, and the two documents."""
    points = torch.rand(40, 2, generator=torch.Generator().manual_seed(0))
    columns = {
        "id": [f"p{i}" for i in range(40)],
        "x": points.tolist(),
        "y": (points[:, 0] > points[:, 1]).long().tolist(),
        "part": ["test" if i % 4 == 0 else split for i in range(40)],
    }
    pq.write_table(pa.table(columns), folder / "points.parquet")
    dataset = {"name": "points", "path": str(folder / "points.parquet"), "columns": dict(COLUMNS), "classes": 2}
    model = json.loads(json.dumps(MODEL))
    edit(dataset, model)
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "model.json").write_text(json.dumps(model))
    return str(folder / "dataset.json"), str(folder / "model.json")


def run(*words: str) -> Any:
    app = typer.Typer()
    app.command()(command.main)
    return CliRunner().invoke(app, list(words))


def trained(folder: Path, *, seed: int = 3, out: str = "out") -> Path:
    done = run(*documents(folder), "--seed", str(seed), "--out", str(folder / out))
    assert done.exit_code == 0, done.output
    return folder / out


def weights(out: Path) -> Mapping[str, torch.Tensor]:
    return load_file(out / "weights.safetensors")


def same(left: Mapping[str, torch.Tensor], right: Mapping[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_everything_that_registration_takes_is_written(tmp_path: Path) -> None:
    out = trained(tmp_path)
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md", "initial-weights.safetensors", "model.json", "training.json", "weights.safetensors",
    ]  # fmt: skip
    model = ModelIn.model_validate_json((out / "model.json").read_bytes())
    assert model.recipe is not None
    assert model.recipe.initial_seed == 3
    assert model.model_dump(exclude={"recipe"}) == ModelIn.model_validate(MODEL).model_dump(exclude={"recipe"})
    record = json.loads((out / "training.json").read_text())
    assert record["samples"] == {"train": 30, "test": 10}
    assert record["accuracy"]["train"] > 0.7
    assert f"{record['accuracy']['test']:.3f} on test" in (out / "README.md").read_text()


def test_the_initial_weights_are_those_of_the_seed_and_the_trained_ones_are_others(tmp_path: Path) -> None:
    out = trained(tmp_path)
    model = ModelIn.model_validate_json((out / "model.json").read_bytes())
    initial = load_file(out / "initial-weights.safetensors")
    assert same(initial, registry.builder(model.architecture)(3).state_dict())
    assert not same(initial, weights(out))


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(tmp_path: Path) -> None:
    first, again, other = (trained(tmp_path, seed=seed, out=out) for seed, out in ((3, "a"), (3, "b"), (4, "c")))
    assert (first / "weights.safetensors").read_bytes() == (again / "weights.safetensors").read_bytes()
    assert not same(weights(first), weights(other))


def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = weights(trained(tmp_path, out="undisturbed"))
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    steps: list[int] = []

    def killed_at_step_7(phase: str, completed: int) -> None:
        if phase == "train":
            steps.append(completed)
            if len(steps) == 7:
                raise KeyboardInterrupt

    watched = command.Watched.progress

    def progress(self: command.Watched, phase: str, completed: int, total: int, unit: str) -> None:
        killed_at_step_7(phase, completed)
        watched(self, phase, completed, total, unit)

    monkeypatch.setattr(command.Watched, "progress", progress)
    words = (*documents(tmp_path), "--seed", "3", "--out", str(tmp_path / "out"))
    assert run(*words).exit_code != 0
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    assert run(*words).exit_code == 0
    assert steps == [*range(1, 8), *range(7, 17)]  # the checkpoint is written after a step is told
    assert same(weights(tmp_path / "out"), undisturbed)


def test_an_unfinished_training_of_something_else_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(command, "trained", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(*documents(tmp_path), "--seed", "3", "--out", str(tmp_path / "out")).exit_code != 0
    refused = run(*documents(tmp_path), "--seed", "4", "--out", str(tmp_path / "out"))
    assert refused.exit_code == 1
    assert "unfinished training of something else" in refused.output
    assert run(*documents(tmp_path), "--seed", "3", "--out", str(tmp_path / "out")).exit_code == 0


def test_what_is_finished_is_not_overwritten(tmp_path: Path) -> None:
    before = weights(trained(tmp_path))
    refused = run(*documents(tmp_path), "--seed", "4", "--out", str(tmp_path / "out"))
    assert refused.exit_code == 1
    assert "name another folder" in refused.output
    assert same(weights(tmp_path / "out"), before)


def test_what_every_step_did_is_recorded_if_asked_for(tmp_path: Path) -> None:
    """30 samples, 8 at a time, 4 epochs: 16 steps of the 22 weights of a small perceptron."""
    plain = weights(trained(tmp_path, out="plain"))
    done = run(*documents(tmp_path), "--seed", "3", "--record-deltas", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert same(weights(tmp_path / "out"), plain)
    found = load_file(tmp_path / "out" / "deltas.safetensors")
    assert (found["deltas"].shape, found["positions"].shape) == ((16, 22), (16, 8))
    seen = torch.tensor([position for position in range(40) if position % 4 for _ in range(4)])  # once an epoch
    assert torch.equal(found["positions"][found["positions"] >= 0].sort().values, seen)
    assert "deltas_path" in (tmp_path / "out" / "README.md").read_text()
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    deltas, data_sha256 = read_deltas(tmp_path / "out" / "deltas.safetensors", sha256=record["deltas_sha256"])
    assert data_sha256 == record["data_sha256"]
    assert torch.equal(deltas.delta(5), found["deltas"][5])


def test_a_killed_training_goes_on_to_the_same_deltas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "CHECKPOINT_SECONDS", 0.0)
    words = (*documents(tmp_path), "--seed", "3", "--record-deltas", "--out")
    assert run(*words, str(tmp_path / "undisturbed")).exit_code == 0
    told = command.Watched.progress

    def killed_at_step_7(self: command.Watched, phase: str, completed: int, total: int, unit: str) -> None:
        told(self, phase, completed, total, unit)
        if (phase, completed) == ("train", 7):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(command.Watched, "progress", killed_at_step_7)
        assert run(*words, str(tmp_path / "out")).exit_code != 0
    assert run(*words, str(tmp_path / "out")).exit_code == 0
    first, second = (load_file(tmp_path / out / "deltas.safetensors") for out in ("undisturbed", "out"))
    assert same(first, second)


def test_a_training_whose_steps_were_not_recorded_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*documents(tmp_path), "--seed", "3", "--out", str(tmp_path / "out"))
    with monkeypatch.context() as patched:
        patched.setattr(command, "trained", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert run(*words).exit_code != 0
    refused = run(*words, "--record-deltas")
    assert refused.exit_code == 1
    assert "unfinished training of something else" in refused.output


def test_deltas_beyond_the_stated_size_are_refused_beforehand(tmp_path: Path) -> None:
    """16·(4·22 + 8·8) bytes."""
    words = (*documents(tmp_path), "--record-deltas", "--largest-deltas-bytes")
    refused = run(*words, "2431", "--out", str(tmp_path / "out"))
    assert refused.exit_code == 1
    assert "2,432 bytes" in refused.output
    assert not (tmp_path / "out" / "weights.safetensors").exists()
    assert run(*words, "2432", "--out", str(tmp_path / "other")).exit_code == 0


def test_the_training_of_shards_is_not_recorded(tmp_path: Path) -> None:
    def in_shards(_: dict[str, Any], model: dict[str, Any]) -> None:
        member = model["architecture"]
        model["architecture"] = {"name": "sisa", "input_shape": [2], "classes": 2, "shards": 2, "member": member}

    refused = run(*documents(tmp_path, in_shards), "--record-deltas", "--out", str(tmp_path / "out"))
    assert refused.exit_code == 1
    assert "sisa forgets exactly" in refused.output


WRONG: dict[str, tuple[Edit, str]] = {
    "a field that is missing": (lambda _, m: m["recipe"].pop("epochs"), "/recipe/epochs"),
    "an architecture that nobody knows": (lambda _, m: m["architecture"].update(name="x"), "/architecture"),
    "an architecture for other inputs": (lambda _, m: m["architecture"].update(input_shape=[3]), "/architecture"),
    "preprocessing for other inputs": (lambda _, m: m["preprocessing"].update(mean=[0.0] * 3), "/preprocessing/mean"),
    "augmentation of what is no image": (
        lambda _, m: m["recipe"].update(augmentation=[{"name": "horizontal_flip"}]), "/recipe/augmentation",
    ),
    "no recipe": (lambda _, m: m.pop("recipe"), "/recipe"),
    "two seeds": (lambda _, m: m["recipe"].update(initial_seed=1), "/recipe/initial_seed"),
    "another data set": (lambda _, m: m.update(dataset="faces"), "/dataset"),
    "data that is not there": (lambda d, _: d.update(path=d["path"] + ".gone"), "/path"),
    "a column that is not there": (lambda d, _: d["columns"].update(input="image"), "input (image)"),
    "a rate below zero": (lambda _d, m: m["recipe"].update(learning_rate=-1), "/recipe/learning_rate"),
    "a rate that diverges": (
        lambda _, m: m["recipe"].update(learning_rate=100, weight_decay=1, epochs=40), "lower the learning rate",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("edit", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_and_nothing_is_written(tmp_path: Path, edit: Edit, said: str) -> None:
    refused = run(*documents(tmp_path, edit), "--seed", "3", "--out", str(tmp_path / "out"))
    assert refused.exit_code in {1, 2}
    assert said in refused.output
    assert not (tmp_path / "out" / "weights.safetensors").exists()


def test_without_a_training_split_there_is_nothing_to_learn_from(tmp_path: Path) -> None:
    refused = run(*documents(tmp_path, split="test"), "--out", str(tmp_path / "out"))
    assert refused.exit_code == 1
    assert "split train" in refused.output


def test_a_checkpoint_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "unfinished" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "train.safetensors").write_bytes(b"cut off")
    assert same(weights(trained(tmp_path)), weights(trained(tmp_path, out="undisturbed")))


def test_the_demo_data_are_the_digits_and_documents_that_fit(tmp_path: Path) -> None:
    demo_data.main(tmp_path / "digits")
    dataset = DatasetIn.model_validate_json((tmp_path / "digits" / "dataset.json").read_bytes())
    model = ModelIn.model_validate_json((tmp_path / "digits" / "model.json").read_bytes())
    manifest = Manifest(Path(dataset.path), dataset.columns.model_dump())
    facts = validate(manifest, classes=dataset.classes, index_path=tmp_path / "index.sqlite", run=Quiet())
    check_fit(model, kind=facts.input_kind, shape=facts.input_shape, classes=dataset.classes)
    pictures = demo_data.digits()
    index = read_index(tmp_path / "index.sqlite")
    assert torch.equal(index["labels"], pictures.labels)
    assert torch.equal(index["train"], pictures.train)
    assert torch.equal(decode(manifest.read(0, 0, ["input"])["input"], 0), pictures.pixels)
