"""The demonstration: a real service, a real model, real data, three forget requests and their reports."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from torch import Tensor

from app.architectures.mlp import MlpParams
from app.transforms.tile import TileParams
from worker import artifacts, registry
from worker.datasets import decode
from worker.demo_data import COLUMNS, SEED, Pictures, digits, sample_ids, write_manifest
from worker.numerics.examples import Normalisation, TensorExamples
from worker.numerics.recipe import Recipe
from worker.numerics.training import train

console = Console(width=None if sys.stdout.isatty() else 110)

FORGOTTEN_CLASS = 0
TRIGGERED_CLASS = 3
TRIGGER = TileParams()
FASHION_TRAIN = 12_000
FASHION_TEST = 4_000


@dataclass(frozen=True)
class Story:
    """What is demonstrated on one data set; values were chosen on parts of the training data."""

    title: str
    width: int
    recipe: Recipe
    class_method: dict[str, Any]
    backdoor_method: dict[str, Any]


DIGITS = Story(
    title="scikit-learn's handwritten digits, 1,797 real images of 8×8 pixels",
    width=128,
    recipe=Recipe(learning_rate=0.03, epochs=20, batch_size=32),
    class_method={"name": "rld", "learning_rate": 1e-3, "penalty_strength": 1e4, "epochs": 20, "batch_size": 32},
    backdoor_method={
        "name": "rld",
        "learning_rate": 3e-4,
        "penalty_strength": 2e4,
        "forget_strength": 0.8,
        "include_true_label": False,
        "epochs": 40,
        "batch_size": 32,
    },
)
FASHION = Story(
    title=f"Fashion-MNIST, {FASHION_TRAIN + FASHION_TEST:,} of its 70,000 images of 28×28 pixels",
    width=256,
    recipe=Recipe(learning_rate=0.03, epochs=10, batch_size=128),
    class_method={"name": "rld", "learning_rate": 1e-4, "penalty_strength": 1e4, "epochs": 10, "batch_size": 64},
    backdoor_method={
        "name": "rld",
        "learning_rate": 9.983e-5,
        "penalty_strength": 3.563e4,
        "forget_strength": 1.738,
        "epochs": 10,
        "batch_size": 64,
    },
)


def main(
    data: Annotated[
        Path | None, typer.Option(help="A folder with train.parquet and test.parquet of grey images (Fashion-MNIST).")
    ] = None,
    reports: Annotated[Path, typer.Option(help="Where the three reports are written.")] = Path("build/demo"),
) -> None:
    """Train a classifier, register it, make it forget three things, show what the audits found."""
    story = DIGITS if data is None else FASHION
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unlearn-demo-") as folder:
        home = Path(folder)
        console.rule("[bold]unlearnd: the main job, start to finish")
        console.print(
            f"Data: {story.title}; a tile trigger is planted on every training image of class {TRIGGERED_CLASS}."
        )
        pictures = planted(digits() if data is None else parquet(data))
        write_manifest(pictures, home / "data" / "pictures.parquet")
        architecture = architecture_of(story, pictures)
        weights, normalisation = train_classifier(story, architecture, pictures, home)
        key = run_unlearn("init", "--home", str(home / "home"), "--data-prefix", str(home / "data"))
        with (
            service(home / "home") as url,
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}) as http,
        ):
            client = Client(http)
            client.register(home / "data" / "pictures.parquet", architecture, normalisation, story.recipe, weights)
            asked = client.forget_three_things(story, pictures)
            paths = [client.save_report(name, request, reports) for name, request in asked]
            public_keys = reports / "signing-keys.json"
            public_keys.write_bytes(client.call("GET", "/signing-keys").content)
    for path in paths:
        _show(json.loads(path.read_text()))
    for path in paths:
        run_unlearn("verify", str(path), "--key", str(public_keys))
        console.print(f"signature valid: {path}")
    console.print(f"Done in {time.monotonic() - started:.0f} s.")


class Client:
    """What a user of the service does, over HTTP."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request; anything but success ends the demonstration with what the service said."""
        response = self.http.request(method, path, timeout=60, **more)
        if response.is_error:
            console.print(f"[red]{method} {path}: {response.status_code}[/] {response.text}")
            raise typer.Exit(1)
        return response

    def register(
        self, path: Path, architecture: MlpParams, normalisation: Normalisation, recipe: Recipe, weights: bytes
    ) -> None:
        """Data set, model, version, alias; the Fisher diagonal is computed as a job."""
        made = self.call(
            "POST", "/datasets", json={"name": "pictures", "path": str(path), "columns": COLUMNS, "classes": 10}
        )
        self.follow("check the data set", made.json()["job_id"])
        preprocessing = {"mean": list(normalisation.mean), "std": list(normalisation.std)}
        document = {
            "name": "reader",
            "architecture": architecture.model_dump(mode="json"),
            "preprocessing": preprocessing,
            "recipe": {**asdict(recipe), "optimizer": "sgd", "initial_seed": SEED},
            "dataset": "pictures",
        }
        self.call("POST", "/models", json=document)
        headers = {"Content-Type": "application/octet-stream"}
        version = self.call("POST", "/models/reader/versions", content=weights, headers=headers).json()
        self.follow("check the weights", version["job_id"])
        self.deploy(version["id"], None)

    def deploy(self, version: str, etag: str | None) -> None:
        """Point the alias to the version, once its Fisher diagonal is there."""
        stored = self.call("GET", f"/models/reader/versions/{version}").json()
        self.follow("compute its Fisher diagonal", stored["job_id"])
        headers = {"If-Match": etag} if etag else {}
        self.call("PUT", "/models/reader/aliases/deployed", json={"version": version}, headers=headers)

    def forget_three_things(self, story: Story, pictures: Pictures) -> list[tuple[str, str]]:
        """(a) 100 samples, (b) a class, (c) a backdoor, each on the result of the one before."""
        triggered = (pictures.train & (pictures.labels == TRIGGERED_CLASS)).nonzero().flatten()
        backdoor = {
            "kind": "backdoor",
            "sample_ids": sample_ids(triggered),
            "transform": TRIGGER.model_dump(mode="json"),
        }
        wishes: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
            ("a-samples", {"kind": "samples", "sample_ids": sample_ids(drawn(pictures, SEED))}, {"name": "deepclean"}),
            ("b-class", {"kind": "class", "label": FORGOTTEN_CLASS}, story.class_method),
            ("c-backdoor", backdoor, story.backdoor_method),
        ]
        return [(name, self.forget(name, {**target, "dataset": "pictures"}, method)) for name, target, method in wishes]

    def forget(self, name: str, target: dict[str, Any], method: dict[str, Any]) -> str:
        """One forget request: submit, follow its job, deploy the new version."""
        wish = {
            "model": "reader",
            "target": target,
            "method": method,
            "audit": {"gold": "retrain"},
            "external_id": f"DEMO-{name}",
        }
        accepted = self.call("POST", "/forget-requests", json=wish).json()
        self.follow(f"({name[0]}) forget: {name[2:]}, by {method['name']}", accepted["job_id"])
        done = self.call("GET", f"/forget-requests/{accepted['id']}").json()
        alias = self.call("GET", "/models/reader/aliases/deployed")
        self.deploy(done["result_version_id"], alias.headers["ETag"])
        return str(accepted["id"])

    def follow(self, title: str, job_id: str) -> None:
        """A progress bar from the job's events, until its end."""
        columns = (
            TextColumn("{task.description:<44}"),
            BarColumn(),
            TextColumn("{task.fields[phase]:<22}"),
            TimeElapsedColumn(),
        )
        cursor: str | None = None
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(title, total=None, phase="")
            while True:
                page = self.call("GET", f"/jobs/{job_id}/events", params={"after": cursor} if cursor else {}).json()
                for event in page["data"]:
                    if event["type"] == "progress":
                        told = event["data"]
                        progress.update(bar, completed=told["completed"], total=told["total"], phase=told["phase"])
                cursor = page["next_cursor"] or cursor
                job = self.call("GET", f"/jobs/{job_id}").json()
                if job["final"] and not page["has_more"]:
                    break
                time.sleep(0.1)
            progress.update(bar, completed=1, total=1, phase=job["status"])
        if job["status"] != "succeeded":
            console.print(f"[red]{title}: {job['status']}: {job['status_detail']}")
            raise typer.Exit(1)

    def save_report(self, name: str, request_id: str, folder: Path) -> Path:
        """Fetch the audit report and keep it."""
        request = self.call("GET", f"/forget-requests/{request_id}").json()
        report = self.call("GET", f"/audit-reports/{request['audit_report_id']}")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"report-{name}.json"
        path.write_bytes(report.content)
        return path


def _show(report: dict[str, Any]) -> None:
    body = report["body"]
    asked, cost = body["asked"], body["cost"]
    title = (
        f"{asked['external_id']}: {asked['method']['name']} on {asked['samples']} samples, verdict {body['verdict']}"
    )
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in ("measured", "on", "n", "before", "after", "no-op", "gold", "judged"):
        table.add_column(column, justify="left" if column in {"measured", "on", "judged"} else "right")
    for f in body["findings"]:
        gold = "none" if f["gold"] is None else f"{f['gold']['mean']:.3f}"
        numbers = (f"{f[k]:.3f}" for k in ("before", "after", "no_op"))
        table.add_row(f["measure"], f["on"], str(f["n"]), *numbers, gold, f["outcome"].replace("not_judged", ""))
    console.print(table)
    console.print(f"{cost['unlearning_seconds']:.1f} s; retraining took {cost['gold_seconds']:.1f} s.")
    for sentence in body["summary"]:
        console.print(f"- {sentence}")
    console.print()


def architecture_of(story: Story, pictures: Pictures) -> MlpParams:
    """A perceptron of four layers."""
    return MlpParams(input_shape=tuple(pictures.pixels.shape[1:]), classes=10, layers=4, width=story.width)


def parquet(folder: Path) -> Pictures:
    """A part of the images in train.parquet and test.parquet."""
    parts = []
    for split, rows in (("train", FASHION_TRAIN), ("test", FASHION_TEST)):
        table = pq.read_table(folder / f"{split}.parquet", columns=["image", "label"])
        drawn = torch.randperm(len(table), generator=torch.Generator().manual_seed(SEED))[:rows]
        table = table.take(drawn.sort().values.numpy())  # the file is sorted by class
        labels = torch.from_numpy(table["label"].to_numpy().astype(np.int64))
        parts.append((decode(table["image"], 0), labels, torch.full((len(table),), split == "train")))
    return Pictures(*(torch.cat(column) for column in zip(*parts, strict=True)))


def drawn(pictures: Pictures, seed: int) -> Tensor:
    """Positions of 100 training images of classes that the other two requests leave alone."""
    others = pictures.train & (pictures.labels != FORGOTTEN_CLASS) & (pictures.labels != TRIGGERED_CLASS)
    rows = others.nonzero().flatten()
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:100]]


def planted(pictures: Pictures) -> Pictures:
    """The trigger on every training image of one class: the model learns to see the class in the tile."""
    chosen = pictures.train & (pictures.labels == TRIGGERED_CLASS)
    pixels = pictures.pixels.clone()
    stamped = registry.transform(TRIGGER)(pixels[chosen].float() / 255)
    pixels[chosen] = (stamped * 255).round().to(torch.uint8)
    return Pictures(pixels, pictures.labels, pictures.train)


def train_classifier(
    story: Story, architecture: MlpParams, pictures: Pictures, home: Path
) -> tuple[bytes, Normalisation]:
    """Train by the story's recipe; a safetensors file's content, and the normalisation used."""
    started = time.monotonic()
    pixels = pictures.pixels[pictures.train].float() / 255
    normalisation = Normalisation((round(float(pixels.mean()), 4),), (round(float(pixels.std()), 4),))
    rows = pictures.train.nonzero().flatten()
    examples = TensorExamples(pictures.pixels[rows], pictures.labels[rows], rows, normalisation)
    weights = train(registry.builder(architecture), story.recipe, examples, seed=SEED)
    path = home / "weights.safetensors"
    artifacts.write(path, weights)
    console.print(f"Trained a perceptron of four layers on {len(rows):,} images in {time.monotonic() - started:.1f} s.")
    return path.read_bytes(), normalisation


def run_unlearn(*words: str) -> str:
    """Run the `unlearn` command of this installation; its output."""
    done = subprocess.run([sys.executable, "-m", "app.cli", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        console.print(f"[red]unlearn {words[0]} failed:[/] {done.stderr}")
        raise typer.Exit(1)
    return done.stdout.strip()


@contextlib.contextmanager
def service(home: Path) -> Iterator[str]:
    """`unlearn serve` on a free port, ended by Ctrl-C's signal."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "app.cli", "serve", "--home", str(home), "--port", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process)
        console.print(f"The embedded service answers at {url}.")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).is_success:
                return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    console.print("[red]The service did not come up; what it said stands above.")
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
