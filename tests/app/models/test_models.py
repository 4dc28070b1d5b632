import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.db import reading, transaction
from app.core.params import InputKind
from app.core.settings import get_settings
from app.datasets import service as datasets
from app.domain.lifecycle import JobKind, JobStatus
from app.jobs import service as jobs
from app.models import service
from app.tables import Alias, Dataset, Job, Model, ModelVersion
from tests.app.web.rig import Rig, digest, problem, safetensors

OCTETS = {"Content-Type": "application/octet-stream"}
RECIPE = {"learning_rate": 0.1, "epochs": 2}
TINY = {"name": "mlp", "input_shape": [1, 8, 8], "classes": 3, "layers": 1}
Shapes = dict[str, tuple[str, list[int]]]
DELTAS: Shapes = {"deltas": ("F32", [4, 195]), "positions": ("I64", [4, 2])}
FLIP = {"name": "horizontal_flip"}


def _incoming() -> list[Path]:
    folder = get_settings().storage / "incoming"
    return list(folder.iterdir()) if folder.exists() else []


def test_a_model_is_registered_whole_with_its_defaults(api: Rig) -> None:
    dataset = api.dataset()
    answer = api.post("/models", json=api.model_body())
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["location"] == f"/models/{body['id']}"
    assert body["dataset_id"] == dataset
    assert body["recipe"]["momentum"] == 0.9
    assert body["architecture"]["width"] is None
    for ref in (body["id"], "net"):
        assert api.get(f"/models/{ref}").json() == body
    problem(api.post("/models", json=api.model_body()), 409, "name_taken")


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"dataset": "nonesuch"}, "unknown_dataset", "/dataset"),
        (
            {"architecture": {"name": "mlp", "input_shape": [1, 9, 9], "classes": 3}},
            "architecture_misfit",
            "/architecture",
        ),
        (
            {"architecture": {"name": "mlp", "input_shape": [1, 8, 8], "classes": 2}},
            "architecture_misfit",
            "/architecture",
        ),
        ({"architecture": {"name": "vgg"}}, "invalid_request", "/architecture"),
        ({"preprocessing": {"mean": [0, 0], "std": [1]}}, "preprocessing_misfit", "/preprocessing/mean"),
        ({"preprocessing": {"mean": [0], "std": [0]}}, "invalid_request", "/preprocessing/std/0"),
        ({"recipe": {"learning_rate": 0.1}}, "invalid_request", "/recipe/epochs"),
        ({"recipe": {"learning_rate": 10**400, "epochs": 1}}, "invalid_request", "/recipe/learning_rate"),
        (
            {"recipe": {"learning_rate": 0.1, "epochs": 1, "initial_seed": 2**63}},
            "invalid_request",
            "/recipe/initial_seed",
        ),
        ({"task": "regression"}, "invalid_request", "/task"),
        ({"recipe": {**RECIPE, "optimizer": "lion"}}, "invalid_request", "/recipe/optimizer"),
        ({"recipe": {**RECIPE, "loss": "sd"}}, "invalid_request", "/recipe/sd_strength"),
        ({"recipe": {**RECIPE, "sd_strength": 1}}, "invalid_request", "/recipe/sd_strength"),
        ({"recipe": {**RECIPE, "loss": "sd", "sd_strength": 0}}, "invalid_request", "/recipe/sd_strength"),
        ({"recipe": {**RECIPE, "augmentation": [FLIP, FLIP]}}, "invalid_request", "/recipe/augmentation"),
        ({"recipe": {**RECIPE, "augmentation": [{"name": "blur"}]}}, "invalid_request", "/recipe/augmentation/0"),
        (
            {"recipe": {**RECIPE, "augmentation": [FLIP, {"name": "random_crop", "padding": 8}]}},
            "augmentation_misfit",
            "/recipe/augmentation/1/padding",
        ),
    ],
)
def test_wrong_models_are_refused(lone: Rig, change: dict[str, Any], code: str, pointer: str) -> None:
    lone.dataset()
    problem(lone.post("/models", json=lone.model_body(**change)), 422, code, pointer)
    assert lone.count(Model) == 0


def test_a_recipe_is_stored_whole(lone: Rig) -> None:
    lone.dataset()
    recipe = {
        **RECIPE,
        "optimizer": "adam",
        "loss": "sd",
        "sd_strength": 2,
        "augmentation": [FLIP, {"name": "random_crop"}],
    }
    stored = lone.post("/models", json=lone.model_body(recipe=recipe)).json()["recipe"]
    assert (stored["optimizer"], stored["loss"], stored["sd_strength"]) == ("adam", "sd", 2.0)
    assert stored["augmentation"] == [FLIP, {"name": "random_crop", "padding": 4}]


def test_only_images_are_augmented(lone: Rig) -> None:
    dataset = lone.dataset()
    with transaction() as session:
        session.get_one(Dataset, dataset).input_shape = [64]
    body = lone.model_body(
        architecture={"name": "mlp", "input_shape": [64], "classes": 3}, recipe={**RECIPE, "augmentation": [FLIP]}
    )
    problem(lone.post("/models", json=body), 422, "augmentation_misfit", "/recipe/augmentation")


def test_the_data_set_must_be_ready(lone: Rig) -> None:
    dataset = lone.post("/datasets", json=lone.dataset_body()).json()["id"]
    assert problem(lone.post("/models", json=lone.model_body()), 409, "dataset_not_ready")["retryable"] is True
    with transaction() as session:
        datasets.reject(session, dataset, "duplicate_ids", "")
    problem(lone.post("/models", json=lone.model_body()), 422, "dataset_invalid", "/dataset")


def test_an_upload_is_stored_hashed_and_validated_later(api: Rig) -> None:
    api.dataset()
    model = api.model()
    content = safetensors()

    answer = api.upload(content=content)

    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert answer.headers["location"] == f"/models/{model}/versions/{body['id']}"
    assert (body["number"], body["role"], body["status"]) == (1, "candidate", "validating")
    assert (body["weights_sha256"], body["weights_bytes"]) == (digest(content), len(content))
    stored = get_settings().storage / "models" / model / body["id"] / "weights.safetensors"
    assert stored.read_bytes() == content
    assert _incoming() == []
    with reading() as session:
        job = session.get_one(Job, body["job_id"])
        assert (job.kind, job.subject_id) == (JobKind.VERSION_VALIDATION, body["id"])
    assert api.upload().json()["number"] == 2


@pytest.mark.parametrize(
    ("content", "query", "code", "pointer"),
    [
        (b"PK\x03\x04" + b"\0" * 90, "", "not_safetensors", ""),
        (safetensors()[:-1], "", "not_safetensors", ""),
        (b"", "", "not_safetensors", ""),
        (None, "?role=king", "invalid_request", "query/role"),
        (None, "?parent=mv_1", "invalid_request", "query/parent"),
        (None, "?parent=mv_" + "0" * 32, "unknown_version", "/parent"),
        (None, "?rule=gold", "unknown_parameter", "query"),
    ],
)
def test_wrong_uploads_leave_nothing_behind(
    lone: Rig, content: bytes | None, query: str, code: str, pointer: str
) -> None:
    lone.dataset()
    model = lone.model()
    problem(lone.upload(content=content, query=query), 422, code, pointer)
    assert lone.count(ModelVersion) == 0
    assert _incoming() == []
    assert not (get_settings().storage / "models" / model).exists()


def test_an_upload_over_the_limit_is_a_413_even_in_chunks(lone: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    lone.dataset()
    lone.model()
    monkeypatch.setenv("UNLEARN_UPLOAD_LIMIT_BYTES", "2048")
    get_settings.cache_clear()
    for content in (b"\0" * 3000, (b"\0" * 1000 for _ in range(3))):
        problem(lone.post("/models/net/versions", content=content, headers=OCTETS), 413, "content_too_large")
    assert (lone.count(ModelVersion), _incoming()) == (0, [])


def test_who_may_not_upload_sends_nothing(lone: Rig) -> None:
    lone.dataset()
    lone.model()
    problem(lone.with_scopes("models:read").upload(), 403, "scope_missing")
    problem(lone.client.post("/models/net/versions", content=b"x", headers=OCTETS), 401, "unauthorized")
    problem(lone.upload("nonesuch"), 404, "no_such_model")
    problem(
        lone.post("/models/net/versions", content=b"x", headers={"Content-Type": "text/plain"}), 422, "wrong_media_type"
    )
    assert not (get_settings().storage / "incoming").exists()


def test_weights_come_from_a_path_too(api: Rig) -> None:
    api.dataset()
    api.model()
    content, initial = safetensors(), safetensors(fill=b"\1")
    (api.home.data / "w").write_bytes(content)
    (api.home.data / "i").write_bytes(initial)
    body = {
        "path": str(api.home.data / "w"),
        "initial_weights_path": str(api.home.data / "i"),
        "sha256": digest(content),
    }

    answer = api.post("/models/net/versions", json={**body, "role": "gold"})

    assert answer.status_code == 202, answer.text
    assert answer.json()["initial_weights_sha256"] == digest(initial)
    assert answer.json()["role"] == "gold"
    with reading() as session:
        row = session.scalars(select(ModelVersion)).one()
        assert row.initial_weights_path is not None
        assert Path(row.initial_weights_path).read_bytes() == initial
    assert (api.home.data / "w").read_bytes() == content


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"path": "/etc/passwd"}, 422, "path_not_allowed", "/path"),
        ({"path": "{data}"}, 422, "path_not_found", "/path"),
        ({"sha256": "0" * 64}, 422, "wrong_sha256", "/sha256"),
        ({"initial_weights_path": "{data}/other"}, 422, "weights_differ", "/initial_weights_path"),
        ({"initial_weights_path": "{data}/none"}, 422, "path_not_found", "/initial_weights_path"),
        ({"role": "king"}, 422, "invalid_request", "/role"),
        ({"path": "a\x00b"}, 422, "invalid_request", "/path"),
        ({"surplus": "1"}, 422, "invalid_request", "/surplus"),
    ],
)
def test_wrong_paths_leave_nothing_behind(
    lone: Rig, change: dict[str, str], status: int, code: str, pointer: str
) -> None:
    lone.dataset()
    lone.model()
    data = lone.home.data
    (data / "w").write_bytes(safetensors())
    (data / "other").write_bytes(safetensors({"layer.weight": ("F32", [2])}))
    change = {name: str(value).format(data=data) for name, value in change.items()}

    problem(lone.post("/models/net/versions", json={"path": str(data / "w"), **change}), status, code, pointer)

    assert (lone.count(ModelVersion), _incoming()) == (0, [])


def _with_deltas(rig: Rig, tensors: Shapes = DELTAS, **changes: Any) -> Any:
    """The answer to weights with deltas beside them."""
    (rig.home.data / "w").write_bytes(safetensors())
    (rig.home.data / "d").write_bytes(safetensors(tensors))
    body = {"path": str(rig.home.data / "w"), "deltas_path": str(rig.home.data / "d"), **changes}
    return rig.post("/models/net/versions", json=body)


def test_deltas_come_with_the_weights(api: Rig) -> None:
    api.dataset()
    api.model(architecture=TINY)
    answer = _with_deltas(api)
    assert answer.status_code == 202, answer.text
    assert answer.json()["deltas_sha256"] == digest(safetensors(DELTAS))
    with reading() as session:
        row = session.scalars(select(ModelVersion)).one()
        assert Path(row.deltas_path or "").read_bytes() == safetensors(DELTAS)
        assert row.deltas_taken is None


@pytest.mark.parametrize(
    "tensors",
    [
        {"deltas": ("F32", [4, 195])},
        {**DELTAS, "more": ("F32", [1])},
        {**DELTAS, "deltas": ("F32", [4, 194])},
        {**DELTAS, "deltas": ("F32", [3, 195])},
        {**DELTAS, "deltas": ("F32", [195, 4])},
        {**DELTAS, "positions": ("I64", [4])},
        {**DELTAS, "positions": ("F64", [4, 2])},
        {"deltas": ("F32", [0, 195]), "positions": ("I64", [0, 2])},
    ],
)
def test_deltas_of_another_shape_are_refused(lone: Rig, tensors: Shapes) -> None:
    lone.dataset()
    lone.model(architecture=TINY)
    problem(_with_deltas(lone, tensors), 422, "deltas_differ", "/deltas_path")
    assert (lone.count(ModelVersion), _incoming()) == (0, [])


def test_deltas_that_nobody_could_check_are_refused(lone: Rig) -> None:
    """Until it is known which weights they began with."""
    lone.dataset()
    lone.model(architecture=TINY, recipe=RECIPE)
    problem(_with_deltas(lone), 422, "initial_weights_missing", "/deltas_path")
    (lone.home.data / "i").write_bytes(safetensors(fill=b"\1"))
    assert _with_deltas(lone, initial_weights_path=str(lone.home.data / "i")).status_code == 202


def test_a_body_that_is_not_json_is_a_400(lone: Rig) -> None:
    lone.dataset()
    lone.model()
    answer = lone.post("/models/net/versions", content=b"{", headers={"Content-Type": "application/json"})
    problem(answer, 400, "invalid_json")


def test_initial_weights_are_written_once_and_alike(api: Rig) -> None:
    api.dataset()
    api.model()
    version = api.version()
    path = f"/models/net/versions/{version}/initial-weights"
    other = safetensors({"layer.weight": ("F32", [2])})
    problem(api.put(path, content=other, headers=OCTETS), 422, "weights_differ")
    problem(api.put(path, content=b"PK\x03\x04" + b"\0" * 90, headers=OCTETS), 422, "not_safetensors")
    initial = safetensors(fill=b"\1")
    answer = api.put(path, content=initial, headers=OCTETS)
    assert (answer.status_code, answer.json()["initial_weights_sha256"]) == (200, digest(initial))
    problem(api.put(path, content=initial, headers=OCTETS), 409, "initial_weights_exist")


def test_only_good_weights_are_given_out_with_their_digest(api: Rig) -> None:
    api.dataset()
    api.model()
    raw = api.upload().json()["id"]
    problem(api.get(f"/models/net/versions/{raw}/weights"), 409, "version_not_ready")
    version = api.version()
    answer = api.get(f"/models/net/versions/{version}/weights", headers={"Range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (200, safetensors())
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["etag"] == f'"{digest(safetensors())}"'
    expected = base64.b64encode(hashlib.sha256(safetensors()).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{expected}:"


def test_a_good_candidate_gets_its_fisher_diagonal(api: Rig) -> None:
    api.dataset()
    api.model()
    version = api.version(fisher=False)
    path = f"/models/net/versions/{version}"
    found = api.get(path).json()
    assert (found["status"], found["fisher"]) == ("ready", {"status": "pending", "count": None, "progress": None})
    problem(api.post(f"{path}/fisher"), 409, "fisher_pending")
    with transaction() as session:
        job = jobs.cancel(session, session.get_one(Job, found["job_id"]))
        assert (job.kind, job.status) == (JobKind.FISHER, JobStatus.CANCELLED)
    assert api.get(path).json()["fisher"]["status"] == "none"
    again = api.post(f"{path}/fisher")
    assert (again.status_code, again.json()["fisher"]["status"]) == (202, "pending")
    assert again.headers["location"] == f"/jobs/{again.json()['job_id']}"
    with transaction() as session:
        service.store_fisher(session, version, path="/f", sha256="0" * 64, count=20)
    assert api.get(path).json()["fisher"] == {"status": "ready", "count": 20, "progress": None}
    problem(api.post(f"{path}/fisher"), 409, "fisher_ready")


def without_fisher(api: Rig) -> str:
    """The path of a version whose automatic Fisher job was cancelled."""
    version = api.version(fisher=False)
    path = f"/models/net/versions/{version}"
    with transaction() as session:
        jobs.cancel(session, session.get_one(Job, api.get(path).json()["job_id"]))
    return path


def fisher_jobs(api: Rig) -> list[dict[str, Any]]:
    """Those that are not over, oldest first."""
    rows: list[dict[str, Any]] = api.get("/jobs?kind=fisher&limit=100").json()["data"]
    return [row for row in reversed(rows) if not row["final"]]


@pytest.mark.parametrize(("body", "made"), [(None, [None]), ({}, [None]), ({"shards": 1}, [None])])
def test_one_job_computes_a_fisher_diagonal_unless_told_otherwise(
    api: Rig, body: dict[str, int] | None, made: list[int | None]
) -> None:
    api.dataset()
    api.model()
    assert api.post(f"{without_fisher(api)}/fisher", json=body).status_code == 202
    assert [row["shards"] for row in fisher_jobs(api)] == made


def test_a_fisher_diagonal_is_computed_in_shards_and_started_again_when_one_fails(api: Rig) -> None:
    api.dataset()
    api.model()
    path = without_fisher(api)
    answer = api.post(f"{path}/fisher", json={"shards": 3})
    assert (answer.status_code, answer.json()["fisher"]["status"]) == (202, "pending")
    whole, *shards = fisher_jobs(api)
    assert answer.headers["location"] == f"/jobs/{whole['id']}"
    assert [row["shard"] for row in (whole, *shards)] == [None, 1, 2, 3]
    problem(api.post(f"{path}/fisher", json={"shards": 2}), 409, "fisher_pending")
    for end in (jobs.succeed, lambda session, job: jobs.fail(session, job, "digest_mismatch", "")):
        with transaction() as session:
            job = jobs.claim(session, shards.pop(0)["id"], owner="w")
            assert job is not None
            end(session, job)
        if job.status is JobStatus.SUCCEEDED:
            progress = api.get(path).json()["fisher"]["progress"]
            assert (progress["completed"], progress["total"], progress["unit"]) == (1, 3, "shards")
    assert api.get(path).json()["fisher"] == {"status": "none", "count": None, "progress": None}
    assert fisher_jobs(api) == []
    assert api.post(f"{path}/fisher", json={"shards": 2}).status_code == 202
    assert len(fisher_jobs(api)) == 3


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        *[({"shards": wrong}, "/shards") for wrong in (0, 65, -1, 2.5, 10**30, "2", True, None)],
        ({"shards": 2, "more": 1}, "/more"),
        ([], ""),
        (3, ""),
        ("2", ""),
    ],
)
def test_wrong_numbers_of_shards_are_refused(api: Rig, body: Any, pointer: str) -> None:
    api.dataset()
    api.model()
    path = without_fisher(api)
    problem(api.post(f"{path}/fisher", json=body), 422, "invalid_request", pointer)
    assert fisher_jobs(api) == []


def test_the_operator_decides_in_how_many_shards_new_versions_are_seen(
    api: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARN_FISHER_SHARDS", "2")
    get_settings.cache_clear()
    api.dataset()
    api.model()
    parent = api.version(fisher=False)
    assert [row["shard"] for row in fisher_jobs(api)] == [None, 1, 2]
    with transaction() as session:
        publish(session, parent)
    assert len(fisher_jobs(api)) == 6


def test_of_two_calls_at_once_one_has_the_fisher_diagonal_computed(api: Rig) -> None:
    api.dataset()
    api.model()
    path = without_fisher(api)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: api.post(f"{path}/fisher", json={"shards": 2}).status_code, range(4)))
    assert sorted(answers) == [202, 409, 409, 409]
    assert len(fisher_jobs(api)) == 3


def test_a_gold_version_gets_none_and_a_bad_one_is_invalid(api: Rig) -> None:
    api.dataset()
    api.model()
    gold = api.version(role="gold", fisher=False)
    assert api.get(f"/models/net/versions/{gold}").json()["fisher"]["status"] == "none"
    bad = api.upload().json()["id"]
    with transaction() as session:
        service.reject_version(session, bad, "not_finite", "layer.weight has a NaN")
    found = api.get(f"/models/net/versions/{bad}").json()
    assert (found["status"], found["status_reason"]) == ("invalid", "not_finite")


def publish(session: Session, parent: str) -> ModelVersion:
    return service.publish_version(
        session,
        parent=session.get_one(ModelVersion, parent),
        version_id="mv_" + "a" * 32,
        job_id="job_x",
        weights_path="/w",
        weights_sha256="0" * 64,
        weights_bytes=8,
        silenced_classes=[1],
    )


def test_a_result_is_published_ready_with_the_next_number(api: Rig) -> None:
    api.dataset()
    api.model()
    parent = api.version()
    with transaction() as session:
        row = publish(session, parent)
    found = api.get(f"/models/net/versions/{row.id}").json()
    assert (found["number"], found["status"], found["parent_id"]) == (2, "ready", parent)
    assert (found["silenced_classes"], found["fisher"]["status"]) == ([1], "pending")


def test_an_alias_is_created_changed_with_if_match_and_rolled_back(api: Rig) -> None:
    api.dataset()
    api.model()
    first, second = api.version(), api.version()
    path = "/models/net/aliases/deployed"
    problem(api.put(path, json={"version": first}, headers={"If-Match": '"x"'}), 412, "if_match_failed")
    problem(api.post(f"{path}/rollback"), 404, "no_such_alias")
    created = api.put(path, json={"version": first})
    assert (created.status_code, created.json()["version_id"]) == (200, first)
    problem(api.post(f"{path}/rollback"), 409, "no_earlier_version")
    etag = api.get(path).headers["etag"]
    assert etag == created.headers["etag"]
    problem(api.put(path, json={"version": second}), 428, "if_match_required")
    problem(api.put(path, json={"version": second}, headers={"If-Match": '"stale"'}), 412, "if_match_failed")
    assert api.get(path).json()["version_id"] == first
    changed = api.put(path, json={"version": second}, headers={"If-Match": etag})
    assert (changed.status_code, changed.json()["revision"]) == (200, 2)
    back = api.post(f"{path}/rollback")
    assert (back.json()["version_id"], back.json()["revision"]) == (first, 3)
    history = api.get(f"{path}/history").json()["data"]
    assert [change["version_id"] for change in history] == [first, second, first]
    assert [alias["name"] for alias in api.get("/models/net/aliases").json()["data"]] == ["deployed"]


def test_an_alias_points_only_to_good_candidates_of_its_model(lone: Rig) -> None:
    lone.dataset()
    lone.model()
    lone.model("net2")
    path = "/models/net/aliases/deployed"
    raw = lone.upload().json()["id"]
    bad = lone.upload().json()["id"]
    with transaction() as session:
        service.reject_version(session, bad, "not_finite", "")
    problem(lone.put(path, json={"version": raw}), 409, "version_not_ready")
    problem(lone.put(path, json={"version": bad}), 422, "version_invalid", "/version")
    problem(lone.put(path, json={"version": lone.version(role="gold")}), 422, "wrong_role", "/version")
    problem(lone.put(path, json={"version": lone.version("net2")}), 422, "unknown_version", "/version")
    problem(lone.put(path, json={"version": "mv_1"}), 422, "invalid_request", "/version")
    assert lone.count(Alias) == 0


def test_models_of_another_tenant_are_not_there(api: Rig) -> None:
    version = api.deployed()
    other = api.other()
    for path in (
        "",
        "/versions",
        f"/versions/{version}",
        f"/versions/{version}/weights",
        "/aliases/deployed",
        "/aliases",
    ):
        problem(other.get(f"/models/net{path}"), 404, "no_such_model")
    problem(other.upload(), 404, "no_such_model")
    problem(other.post("/models", json=api.model_body()), 422, "unknown_dataset", "/dataset")
    assert other.get("/models").json()["data"] == []


WORDS = {"length": 6, "vocabulary": 50}
TEXT_BAG = {"name": "text_bag", "input_shape": [6], "classes": 3, "vocabulary": 50}


def test_a_network_that_reads_is_registered_on_texts_of_any_length(lone: Rig) -> None:
    lone.dataset(kind=InputKind.TEXT, shape=[999])
    answer = lone.post("/models", json=lone.model_body(architecture=TEXT_BAG, preprocessing={"words": WORDS}))
    assert answer.status_code == 201, answer.text
    assert answer.json()["preprocessing"]["words"] == WORDS
    assert lone.get("/datasets/faces").json()["input_kind"] == "text"


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"preprocessing": {"mean": [0], "std": [1]}}, "preprocessing_misfit", "/preprocessing/words"),
        ({"preprocessing": {"words": WORDS, "mean": [3]}}, "invalid_request", "/preprocessing"),
        ({"preprocessing": {"words": {**WORDS, "length": 10**6}}}, "invalid_request", "/preprocessing/words/length"),
        ({"preprocessing": {"words": {**WORDS, "length": 7}}}, "architecture_misfit", "/architecture"),
        ({"preprocessing": {"words": {**WORDS, "vocabulary": 51}}}, "architecture_misfit", "/architecture"),
        (
            {"architecture": {"name": "mlp", "input_shape": [6], "classes": 3, "layers": 1}},
            "architecture_misfit",
            "/architecture",
        ),
        ({"recipe": {**RECIPE, "augmentation": [FLIP]}}, "augmentation_misfit", "/recipe/augmentation"),
    ],
)
def test_what_does_not_read_is_refused_on_texts(lone: Rig, change: dict[str, Any], code: str, pointer: str) -> None:
    lone.dataset(kind=InputKind.TEXT, shape=[999])
    body = lone.model_body(**{"architecture": TEXT_BAG, "preprocessing": {"words": WORDS}, **change})
    problem(lone.post("/models", json=body), 422, code, pointer)


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"preprocessing": {"words": WORDS}}, "preprocessing_misfit", "/preprocessing/words"),
        ({"architecture": TEXT_BAG}, "architecture_misfit", "/architecture"),
        ({"preprocessing": {"mean": [0.5]}}, "invalid_request", "/preprocessing"),
    ],
)
def test_what_reads_is_refused_on_images(lone: Rig, change: dict[str, Any], code: str, pointer: str) -> None:
    lone.dataset()
    problem(lone.post("/models", json=lone.model_body(**change)), 422, code, pointer)
