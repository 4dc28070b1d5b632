"""Policy `auto` over HTTP: rung by rung until the audit passes, also when a child is killed; and what goes wrong."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save

from app.architectures.mlp import MlpParams
from app.core.db import reading, transaction
from app.core.ids import new_id
from app.core.processes import pid_of
from app.core.settings import get_settings
from app.keys import service as keys
from app.tables import Job, Tenant
from tests.conftest import Home, sqlite_home
from tests.journeys.service import PATIENCE_SECONDS, Api, running
from tests.processes import children_of
from worker import registry
from worker.numerics.examples import TensorExamples
from worker.numerics.recipe import Recipe
from worker.numerics.training import train

ARCHITECTURE = MlpParams(input_shape=(16,), classes=4, layers=3, width=32)
RECIPE = Recipe(learning_rate=0.05, epochs=6, batch_size=64)
TRAIN, TEST, SEED = 1500, 1500, 5
QUICK_AUDIT = {"metrics": [{"name": "accuracy"}, {"name": "mia"}]}
COMMON_CLASS = 0
"""More than half of the samples are of it: too many for `ssd`."""


def records() -> tuple[torch.Tensor, torch.Tensor]:
    """Four Gaussian clouds `(N, 16)` and their labels; the first class has 55 % of the samples."""
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 16, generator=torch.Generator().manual_seed(99))
    labels = torch.multinomial(torch.tensor([0.55, 0.15, 0.15, 0.15]), TRAIN + TEST, replacement=True, generator=draw)
    return centres[labels] + 1.2 * torch.randn(TRAIN + TEST, 16, generator=draw), labels


@pytest.fixture(scope="module")
def weights() -> bytes:
    inputs, labels = records()
    rows = torch.arange(TRAIN)
    examples = TensorExamples(inputs[:TRAIN], labels[:TRAIN], rows)
    return save(dict(train(registry.builder(ARCHITECTURE), RECIPE, examples, seed=SEED)))


@pytest.fixture(scope="module")
def api(weights: bytes, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """SQLite and the local executor, with a data set, a model and a deployed version."""
    with (
        sqlite_home(tmp_path_factory.mktemp("ladder"), sqlite_template) as home,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        monkeypatch.setenv("UNLEARN_CONCURRENCY", "2")  # one thread for each of two children
        get_settings.cache_clear()
        with transaction() as session:
            tenant = Tenant(id=new_id("tn"), name="ladder")
            session.add(tenant)
            session.flush()
            _, key = keys.create(session, tenant_id=tenant.id, name="ladder", scopes=["*"])
        with running(home, key, celery=False) as service:
            register(service, home, weights)
            yield service


def register(api: Api, home: Home, weights: bytes) -> None:
    inputs, labels = records()
    columns: dict[str, Any] = {
        "id": [f"r{row}" for row in range(TRAIN + TEST)],
        "input": list(inputs.numpy()),
        "label": labels.numpy(),
        "split": ["train" if row < TRAIN else "test" for row in range(TRAIN + TEST)],
    }
    path = home.data / "records.parquet"
    pq.write_table(pa.table(columns), path)
    names = {"sample_id": "id", "input": "input", "label": "label", "split": "split"}
    dataset = {"name": "records", "path": str(path), "columns": names, "classes": 4}
    api.succeeded(api.call("POST", "/datasets", 202, json=dataset)["job_id"])
    model = {
        "name": "sorter",
        "architecture": ARCHITECTURE.model_dump(mode="json"),
        "preprocessing": {"mean": [0.0], "std": [1.0]},
        "recipe": {"learning_rate": 0.05, "epochs": 6, "batch_size": 64, "initial_seed": SEED},
        "dataset": "records",
    }
    api.call("POST", "/models", 201, json=model)
    api.deploy("sorter", upload(api, weights))


def upload(api: Api, weights: bytes) -> str:
    headers = {"Content-Type": "application/octet-stream"}
    version = api.call("POST", "/models/sorter/versions", 202, content=weights, headers=headers)
    api.succeeded(version["job_id"])
    path = f"/models/sorter/versions/{version['id']}"
    api.succeeded(api.call("GET", path, 200)["job_id"])  # its Fisher diagonal
    return str(version["id"])


def ids(label: int, first: int, last: int) -> list[str]:
    rows = (records()[1][:TRAIN] == label).nonzero().flatten()[first:last]
    return [f"r{row}" for row in rows.tolist()]


def events(api: Api, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = "0"
    while True:
        page = api.call("GET", f"/jobs/{job_id}/events?limit=100&after={after}", 200)
        found += page["data"]
        after = page["next_cursor"]
        if not page["has_more"]:
            return found


def without_seconds(rungs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in rung.items() if not name.endswith("seconds")} for rung in rungs]


def test_auto_climbs_until_a_rung_passes_and_a_killed_climb_ends_the_same(api: Api, weights: bytes) -> None:
    first = api.call("GET", "/models/sorter/aliases/deployed", 200)["version_id"]
    twin = upload(api, weights)
    target = {"kind": "class", "dataset": "records", "label": COMMON_CLASS}
    wish = {"model": "sorter", "target": target, "audit": QUICK_AUDIT}

    # undisturbed: the first rung cannot, the second leaves a trace, the third passes
    accepted = api.call("POST", "/forget-requests", 202, json={**wish, "version": first})
    assert [(rung["method"]["name"], rung["left_out"]) for rung in accepted["ladder"]] == [
        ("ssd", None),
        ("deepclean", None),
        ("retrain", None),
    ]
    assert (accepted["method"]["name"], accepted["method_chosen_by"]) == ("ssd", "auto")
    api.succeeded(accepted["job_id"])
    request = api.call("GET", f"/forget-requests/{accepted['id']}", 200)
    body = api.report(request)["body"]
    rungs = body["rungs"]
    assert [(rung["method"]["name"], rung["verdict"], rung["published"]) for rung in rungs] == [
        ("ssd", None, False),
        ("deepclean", "trace_found", False),
        ("retrain", "pass", True),
    ]
    assert rungs[0]["left"].startswith("forgets_too_much: ")
    assert "accuracy on forget" in rungs[1]["left"]
    assert all(rung["seconds"] > 0 for rung in rungs)
    assert (body["verdict"], request["method"]["name"], body["asked"]["method"]["name"]) == ("pass",) + ("retrain",) * 2
    assert body["asked"]["guarantee"].startswith("exact")
    assert "3 methods were tried" in " ".join(body["summary"])
    assert request["ladder"] == accepted["ladder"]
    assert "ssd (failed: forgets_too_much" in request["method_reason"]
    told = events(api, accepted["job_id"])
    notes = {event["data"]["name"]: event["data"]["value"] for event in told if event["type"] == "note"}
    assert notes["rung_1_ssd"].startswith("failed, forgets_too_much")
    assert notes["rung_2_deepclean"].startswith("trace_found: ")
    assert notes["rung_3_retrain"].startswith("pass: ")
    states = [step["status"] for step in request["transitions"]]
    assert states == ["received", "queued", "running", "verifying", "running", "verifying", "completed"]

    # killed when two rungs are over: they are not run again, and the result is the same, bit for bit
    accepted = api.call("POST", "/forget-requests", 202, json={**wish, "version": twin})
    kill_after(accepted["job_id"], "rung_2_deepclean")
    api.succeeded(accepted["job_id"])
    again = api.call("GET", f"/forget-requests/{accepted['id']}", 200)
    told = events(api, accepted["job_id"])
    attempts = [n for n, e in enumerate(told) if e["type"] == "status" and e["data"]["status"] == "running"]
    assert len(attempts) > 1
    later = [event["data"]["phase"] for event in told[attempts[-1] :] if event["type"] == "progress"]
    assert not any(phase.startswith(("rung_1", "rung_2")) for phase in later)
    killed = api.report(again)["body"]
    assert killed["subject"]["new_weights_sha256"] == body["subject"]["new_weights_sha256"]
    assert killed["findings"] == body["findings"]
    assert killed["method_facts"] == body["method_facts"]
    assert without_seconds(killed["rungs"]) == without_seconds(rungs)
    assert api.call("GET", "/models/sorter/aliases/deployed", 200)["version_id"] == first


def kill_after(job_id: str, rung: str) -> None:
    """SIGKILL for the child once what came of that rung is kept."""
    kept = get_settings().runs / job_id / "checkpoints"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with reading() as session:
            job = session.get_one(Job, job_id)
        assert not job.finished_at, job.status
        if list(kept.glob(f"{rung}*findings*")):
            for child in children_of(pid_of(job.owner or "")):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            return
        time.sleep(0.002)
    raise AssertionError("it was not killed")


def test_a_named_method_is_the_only_one_tried(api: Api) -> None:
    target = {"kind": "samples", "dataset": "records", "sample_ids": ids(1, 0, 60)}
    request = api.forget(model="sorter", target=target, method={"name": "finetune", "epochs": 1}, audit=QUICK_AUDIT)
    assert [rung["method"] for rung in request["ladder"]] == [request["method"]]
    body = api.report(request)["body"]
    assert [rung["method"] for rung in body["rungs"]] == [request["method"]]
    assert (request["method_chosen_by"], request["method_reason"]) == ("caller", None)
    assert body["rungs"][0]["published"]
    assert not any("methods were tried" in sentence for sentence in body["summary"])


def test_too_few_samples_for_any_verdict_do_not_climb_to_retraining(api: Api) -> None:
    """Five samples of a model that has not learned them by heart: whatever the method, the audit sees nothing."""
    target = {"kind": "samples", "dataset": "records", "sample_ids": ids(1, 60, 65)}
    request = api.forget(model="sorter", target=target, audit=QUICK_AUDIT)
    body = api.report(request)["body"]
    assert [(rung["method"]["name"], rung["verdict"]) for rung in body["rungs"]] == [("finetune", "inconclusive")]
    assert "no method could be shown to have forgotten with these samples" in body["rungs"][0]["left"]
    assert [rung["method"]["name"] for rung in request["ladder"]] == ["finetune", "eu_k", "retrain"]


@pytest.mark.parametrize(
    ("target", "method", "code", "detail"),
    [
        (
            {"kind": "samples", "sample_ids": ids(2, 0, 3)},
            {"name": "rld", "learning_rate": 1.0, "penalty_strength": 0, "epochs": 500, "forget_strength": 1e30},
            "non_finite",
            r"the loss is (nan|inf) at step \d+ of '.*': lower the learning rate \(1\) or forget_strength \(1e\+30\)$",
        ),
        (
            {"kind": "samples", "sample_ids": ids(3, 6, 9)},
            {"name": "rld", "penalty": "explicit", "penalty_strength": 1e9, "epochs": 100},
            "non_finite",
            r"the loss is nan at step \d+ of 'forget': explicit .*; lower penalty_strength below \S+, or use the impl",
        ),
        (
            {"kind": "samples", "sample_ids": ids(2, 0, 3)},
            {"name": "deepclean", "gamma": 1e30},
            "no_effect",
            r"no Fisher ratio exceeds γ = .*: select by a larger fraction, or a smaller γ",
        ),
        (
            {"kind": "samples", "sample_ids": ids(COMMON_CLASS, 0, 780)},
            {"name": "ssd"},
            "forgets_too_much",
            r"780 of \d+ samples are to be forgotten",
        ),
        (
            {"kind": "samples", "sample_ids": ids(COMMON_CLASS, 0, 780)},
            {"name": "neggrad_plus"},
            "forgets_too_much",
            r"D_f has 780 samples and just \d+ are kept: retrain instead, or forget less",
        ),
    ],
    ids=["diverges", "penalty beyond its bound", "selects nothing", "most of the data", "more than is kept"],
)
def test_what_cannot_work_fails_with_what_to_do_and_leaves_all_as_it_was(
    api: Api, target: dict[str, Any], method: dict[str, Any], code: str, detail: str
) -> None:
    deployed = api.call("GET", "/models/sorter/aliases/deployed", 200)
    version = upload_again(api)
    wish = {"model": "sorter", "version": version, "target": {**target, "dataset": "records"}, "method": method}
    accepted = api.call("POST", "/forget-requests", 202, json=wish)
    job = api.finished(accepted["job_id"])
    assert (job["status"], job["status_reason"]) == ("failed", code)
    assert re.search(detail, job["status_detail"]), job["status_detail"]
    request = api.call("GET", f"/forget-requests/{accepted['id']}", 200)
    assert (request["status"], request["status_detail"]) == ("failed", job["status_detail"])
    assert (request["result_version_id"], request["audit_report_id"]) == (None, None)
    assert api.call("GET", "/models/sorter/aliases/deployed", 200) == deployed
    versions = api.call("GET", "/models/sorter/versions?limit=100", 200)["data"]
    assert version not in {row["parent_id"] for row in versions}


def upload_again(api: Api) -> str:
    """A version that has forgotten nothing: the deployed one's weights."""
    version = api.call("GET", "/models/sorter/aliases/deployed", 200)["version_id"]
    return upload(api, api.http.get(f"/models/sorter/versions/{version}/weights").content)


def test_a_penalty_beyond_its_bound_is_a_warning_in_the_report(api: Api) -> None:
    target = {"kind": "samples", "dataset": "records", "sample_ids": ids(3, 0, 3)}
    method = {"name": "rld", "penalty": "explicit", "penalty_strength": 1e9, "epochs": 1}
    request = api.forget(model="sorter", version=upload_again(api), target=target, method=method, audit=QUICK_AUDIT)
    body = api.report(request)["body"]
    assert "explicit penalty is unstable" in body["method_facts"]["rung_1_rld.forget_warning"]
    assert any(sentence.startswith("Warning: explicit penalty is unstable") for sentence in body["summary"])


def test_a_method_that_only_learns_what_is_kept_forgets_more_than_that(api: Api) -> None:
    target = {"kind": "samples", "dataset": "records", "sample_ids": ids(COMMON_CLASS, 0, 780)}
    method = {"name": "finetune", "epochs": 1}
    request = api.forget(model="sorter", version=upload_again(api), target=target, method=method, audit=QUICK_AUDIT)
    sizes = api.report(request)["body"]["sizes"]
    assert sizes["forget"] == 780 > sizes["retain"]


def test_selecting_every_weight_is_said(api: Api) -> None:
    target = {"kind": "samples", "dataset": "records", "sample_ids": ids(3, 3, 6)}
    method = {"name": "deepclean", "gamma": 1e-30}
    request = api.forget(model="sorter", version=upload_again(api), target=target, method=method, audit=QUICK_AUDIT)
    body = api.report(request)["body"]
    assert body["method_facts"]["selected_fraction"] > 0.95
    assert any(sentence.startswith("Warning: the method selected ") for sentence in body["summary"])
