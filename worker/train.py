"""`unlearn train`: train a network as the service would retrain it, and write everything that registration takes."""

import json
import shutil
import sys
from dataclasses import dataclass, replace
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import quote

import torch
import typer
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from safetensors import SafetensorError
from torch import Tensor

from app.core.errors import Invalid, Problem, invalid_field
from app.datasets.schemas import DatasetIn
from app.models.schemas import ModelIn
from app.models.service import check_fit, seen_shape
from worker import artifacts, registry
from worker.checkpoints import read_checkpoint, write_checkpoint
from worker.datasets import SPLITS, Facts, Manifest, examples_at, read_index, validate
from worker.loading import normalisation_of, recipe_of
from worker.numerics.deltas import Recorder, check_deltas, check_size
from worker.numerics.descent import steps_per_epoch
from worker.numerics.errors import EmptyExamples, NumericsError
from worker.numerics.evaluation import logits
from worker.numerics.examples import Examples
from worker.numerics.outcome import Model
from worker.numerics.recipe import Recipe
from worker.numerics.run import Checkpoint, Fact, Quiet, Run
from worker.numerics.training import train
from worker.numerics.weights import Weights, weights_of

console = Console(width=None if sys.stdout.isatty() else 110)
err = Console(stderr=True, soft_wrap=True)

Document = TypeVar("Document", bound=BaseModel)

NEXT = """\
# {name}

Trained by `unlearn train` with seed {seed} on {samples:,} samples; accuracy: {accuracies}.

Register it where $URL answers and $KEY opens, each step once the one before is `ready` (poll what `Location` names):

```sh
curl -s -X POST $URL/datasets -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d @{dataset}
curl -s -X POST $URL/models -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' -d @{out}/model.json
curl -s -X POST $URL/models/{name}/versions -H "Authorization: Bearer $KEY" \\
  -H 'Content-Type: application/octet-stream' --data-binary @{out}/weights.safetensors
```

{deltas}\
The Fisher diagonal the service computes itself. `initial_seed` in model.json stands for the weights before training;
initial-weights.safetensors holds them, for `PUT $URL/models/{name}/versions/mv_…/initial-weights`.
"""

DELTAS = """\
For `amnesiac`, send instead of the weights where they and the deltas lie on the service's machine:

```sh
curl -s -X POST $URL/models/{name}/versions -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' \\
  -d '{{"path": "{folder}/weights.safetensors", "deltas_path": "{folder}/deltas.safetensors"}}'
```

"""
LARGEST_DELTAS_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Wish:
    """What is trained, on what, from which seed."""

    dataset: DatasetIn
    model: ModelIn  # its recipe holds the seed
    budget_bytes: int
    deltas_bytes: int | None = None
    """How large a file may become of what every step did; None: nothing is recorded."""

    @property
    def seed(self) -> int:
        """Of initialisation, order and augmentation."""
        return (self.model.recipe and self.model.recipe.initial_seed) or 0

    @property
    def manifest(self) -> Manifest:
        """Where the data is."""
        return Manifest(Path(self.dataset.path), self.dataset.columns.model_dump())

    def asked(self, data_sha256: str) -> dict[str, Any]:
        """What the weights depend on: an unfinished training goes on only if all of it is the same."""
        return {
            "data_sha256": data_sha256,
            "columns": self.dataset.columns.model_dump(),
            "classes": self.dataset.classes,
            "model": self.model.model_dump(mode="json"),
            "memory_budget_bytes": self.budget_bytes,
            **({} if self.deltas_bytes is None else {"record_deltas": True}),
        }


class Trained(NamedTuple):
    """What training came to."""

    weights: Weights
    accuracies: dict[str, float]
    recorded: Recorder | None


class Watched(Quiet):
    """A run whose progress is a bar and whose checkpoints lie in a folder."""

    def __init__(self, folder: Path, bars: Progress) -> None:
        super().__init__()
        self._folder = folder
        self._bars = bars
        self._shown: dict[str, TaskID] = {}

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        """One bar a phase."""
        if phase not in self._shown:
            self._shown[phase] = self._bars.add_task(phase, total=total, unit=unit)
        self._bars.update(self._shown[phase], completed=completed, total=total)

    def note(self, name: str, value: Fact) -> None:
        """Say it."""
        super().note(name, value)
        self._bars.console.print(f"{name}: {value}", markup=False)

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Replace the file of that name."""
        write_checkpoint(self._path(name), checkpoint, temporary=self._folder / "checkpoint.tmp")

    def saved(self, name: str) -> Checkpoint | None:
        """Read the file of that name; one that cannot be read is as good as none."""
        try:
            return read_checkpoint(self._path(name))
        except SafetensorError as error:
            self.note("unreadable_checkpoint", str(error))
            return None

    def _path(self, name: str) -> Path:
        return self._folder / "checkpoints" / f"{quote(name, safe='')}.safetensors"


def main(
    dataset: Annotated[Path, typer.Argument(help="JSON, the body of POST /datasets.", exists=True, dir_okay=False)],
    model: Annotated[Path, typer.Argument(help="JSON, the body of POST /models.", exists=True, dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Where the results are written; it is made.", file_okay=False)],
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="By default the recipe's initial_seed, else 0.")
    ] = None,
    memory_budget_bytes: Annotated[
        int, typer.Option(min=1_000_000, help="Decoded inputs beyond it are streamed, in another order.")
    ] = 2_000_000_000,
    record_deltas: Annotated[  # noqa: FBT002 - typer's way of an option
        bool, typer.Option("--record-deltas", help="Write what every step did, for the method amnesiac.")
    ] = False,
    largest_deltas_bytes: Annotated[
        int, typer.Option(min=1, help="A larger file than this, steps × 4 bytes × weights, is refused beforehand.")
    ] = LARGEST_DELTAS_BYTES,
) -> None:
    """Train a network by a recipe. Killed, the same command goes on where it was, to the same weights bit for bit."""
    try:
        wish = wish_of(_read(dataset, DatasetIn), _read(model, ModelIn), seed=seed, budget_bytes=memory_budget_bytes)
        recording = replace(wish, deltas_bytes=largest_deltas_bytes) if record_deltas else wish
        said = carry_out(recording, out, dataset)
    except Problem as problem:
        for error in problem.errors:
            err.print(f"{error.pointer}: {error.message}", markup=False, highlight=False)
        if not problem.errors:
            err.print(problem.detail, markup=False, highlight=False)
        raise typer.Exit(1) from problem
    except NumericsError as error:
        err.print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from error
    typer.echo(said)


def wish_of(dataset: DatasetIn, model: ModelIn, *, seed: int | None, budget_bytes: int) -> Wish:
    """The documents, with the seed in the recipe.

    Raises:
        Invalid: there is nothing to train by; two seeds; the model names another data set.
    """
    if model.recipe is None:
        raise invalid_field("/recipe", "This is what a model is trained by: give one.", code="no_recipe")
    if model.dataset != dataset.name:
        message = f"The model is trained on the data set beside it: write {dataset.name!r}."
        raise invalid_field("/dataset", message, code="unknown_dataset")
    written = model.recipe.initial_seed
    if seed is not None and written not in {None, seed}:
        message = f"The recipe says {written}, --seed {seed}: leave one of them out."
        raise invalid_field("/recipe/initial_seed", message, code="two_seeds")
    recipe = model.recipe.model_copy(update={"initial_seed": written or seed or 0})
    return Wish(dataset, model.model_copy(update={"recipe": recipe}), budget_bytes)


def carry_out(wish: Wish, out: Path, named: Path) -> str:
    """Check, train, measure, write; what to do next, in words.

    Raises:
        Problem: the documents or the data are not fit for it, or the folder holds something else.
        NumericsError: the training diverged, or there is nothing to train on.
    """
    if not wish.manifest.path.exists():
        raise invalid_field("/path", f"There is nothing at {wish.manifest.path}.", code="path_not_found")
    unfinished = out / "unfinished"
    _check_folder(out, unfinished)
    with _bars() as bars:
        run = Watched(unfinished, bars)
        facts = validate(wish.manifest, classes=wish.dataset.classes, index_path=unfinished / "index.sqlite", run=run)
        check_fit(wish.model, kind=facts.input_kind, shape=facts.input_shape, classes=wish.dataset.classes)
        _check_same(unfinished, wish.asked(facts.sha256))
        splits = _splits(wish, facts, read_index(unfinished / "index.sqlite"))
        done = trained(wish, splits, run, unfinished)
    said = _write(out, wish, facts, done, named)
    shutil.rmtree(unfinished)
    return said


def trained(wish: Wish, splits: dict[str, Examples], run: Run, folder: Path) -> Trained:
    """The weights, the accuracy on every split that there is, and what every step did, if that is recorded.

    Raises:
        Invalid: the training of such a network is not recorded.
        EmptyExamples: there is no training split.
        NumericsError: it diverged, or the deltas would be too large.
    """
    if "train" not in splits or wish.model.recipe is None:
        raise EmptyExamples("the data set has no sample in its split train: there is nothing to learn from")
    build = registry.builder(wish.model.architecture)
    recipe, examples = recipe_of(wish.model.recipe), splits["train"]
    recorder = None if wish.deltas_bytes is None else _recorder(wish, recipe, examples, run, folder)
    watch = None if recorder is None else recorder.watch
    weights = train(build, recipe, examples, seed=wish.seed, run=recorder or run, watch=watch)
    if recorder is not None:
        check_deltas(recorder.recorded, build(wish.seed).state_dict(), weights, build(0))
    accuracies = {}
    for name, examples in splits.items():
        answers = logits(Model(build, weights), examples, run=run, phase=f"measure on {name}").argmax(1)
        accuracies[name] = float((answers == examples.labels).double().mean())
    return Trained(weights, accuracies, recorder)


def _recorder(wish: Wish, recipe: Recipe, examples: Examples, run: Run, folder: Path) -> Recorder:
    """It writes into files beside the checkpoints, so that an attempt that goes on finds what was recorded."""
    architecture = wish.model.architecture
    if architecture.isolated > 1:
        message = "The training of shards is not recorded: sisa forgets exactly there. Leave --record-deltas out."
        raise invalid_field("/architecture", message, code="architecture_misfit")
    steps = recipe.epochs * steps_per_epoch((examples,), recipe.batch_size, train_mode=True)
    largest = min(recipe.batch_size, len(examples))
    check_size(steps, architecture.weight_count, largest, most_bytes=wish.deltas_bytes or 0)
    return Recorder(
        run,
        "train",
        _in_file(folder / "deltas.bin", steps, architecture.weight_count, torch.float32),
        _in_file(folder / "positions.bin", steps, largest, torch.int64),
    )


def _in_file(path: Path, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    return torch.from_file(str(path), shared=True, size=rows * columns, dtype=dtype).view(rows, columns)


def _splits(wish: Wish, facts: Facts, index: dict[str, Tensor]) -> dict[str, Examples]:
    return {
        split: examples_at(
            wish.manifest,
            index["positions"][index[split]],
            index["labels"][index[split]],
            input_shape=seen_shape(wish.model.preprocessing, facts.input_shape),
            normalisation=normalisation_of(wish.model.preprocessing),
            budget_bytes=wish.budget_bytes,
        )
        for split in SPLITS
        if index[split].any()
    }


def _check_folder(out: Path, unfinished: Path) -> None:
    if out.exists() and any(out.iterdir()) and not unfinished.is_dir():
        raise Invalid(f"{out} holds something already, and no unfinished training: name another folder", code="taken")


def _check_same(unfinished: Path, asked: dict[str, Any]) -> None:
    """Write down what is trained, or compare it with what an earlier attempt wrote."""
    path = unfinished / "asked.json"
    if path.exists() and json.loads(path.read_text()) != asked:
        message = (
            f"{unfinished.parent} holds an unfinished training of something else: remove it, or name another folder"
        )
        raise Invalid(message, code="taken")
    path.write_text(json.dumps(asked))


def _write(out: Path, wish: Wish, facts: Facts, done: Trained, named: Path) -> str:
    initial = weights_of(registry.builder(wish.model.architecture)(wish.seed))
    digests = {
        "initial_weights_sha256": artifacts.write(out / "initial-weights.safetensors", initial),
        "weights_sha256": artifacts.write(out / "weights.safetensors", done.weights),
    }
    if (recorded := done.recorded) is not None:
        path = out / "deltas.safetensors"
        digests["deltas_sha256"] = artifacts.write_deltas(
            path, recorded.deltas, recorded.positions, data_sha256=facts.sha256
        )
    (out / "model.json").write_text(json.dumps(wish.model.model_dump(mode="json"), indent=1) + "\n")
    record = {
        "seed": wish.seed,
        "data_sha256": facts.sha256,
        "samples": {split: sum(by_class.values()) for split, by_class in facts.counts.items()},
        "accuracy": done.accuracies,
        **digests,
        "unlearnd": version_of("unlearnd"),
        "torch": torch.__version__,
    }
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    said = NEXT.format(
        name=wish.model.name,
        seed=wish.seed,
        samples=sum(facts.counts["train"].values()),
        accuracies=", ".join(f"{value:.3f} on {split}" for split, value in done.accuracies.items()),
        deltas="" if recorded is None else DELTAS.format(name=wish.model.name, folder=out.resolve()),
        dataset=named,
        out=out,
    )
    (out / "README.md").write_text(said)
    return said


def _read(path: Path, schema: type[Document]) -> Document:
    """A document, or what is wrong with it."""
    try:
        return schema.model_validate_json(path.read_bytes())
    except ValidationError as problem:
        for error in problem.errors(include_url=False, include_input=False):
            pointer = "".join(f"/{step}" for step in error["loc"])
            err.print(f"{path}: {pointer or '/'}: {error['msg']}", markup=False, highlight=False)
        raise typer.Exit(2) from problem


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<20}"),
        BarColumn(),
        TextColumn("{task.completed:>8,}/{task.total:,} {task.fields[unit]}"),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    typer.run(main)
