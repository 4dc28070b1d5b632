import hashlib
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app.audit_log import service as audit_log
from app.catalogue.unions import DEFAULT_METRICS
from app.core.db import reading, transaction
from app.domain.lifecycle import ForbiddenArrow, JobKind, JobStatus, RequestStatus
from app.forget_requests import service, tombstones
from app.forget_requests.schemas import ForgetRequestIn, StoredTarget
from app.jobs import service as jobs
from app.methods.eu_k import EuKParams
from app.models import service as models
from app.tables import (
    AuditLogEntry,
    AuditReport,
    Dataset,
    ForgetRequest,
    IdempotencyRecord,
    Job,
    ModelVersion,
    OutboxMessage,
    Tombstone,
)
from app.tables.base import utcnow
from tests.app.web.rig import ROWS, Rig, problem, safetensors

MASK = {"name": "mask", "rectangles": [{"top": 0, "left": 0, "height": 2, "width": 2}]}


def body(target: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A request for two samples, or for the target."""
    samples = {"kind": "samples", "dataset": "faces", "sample_ids": ["train-01", "train-02"]}
    return {"model": "net", "target": {"dataset": "faces", **target} if target else samples, **changes}


def submit(rig: Rig, target: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A request that is accepted."""
    answer = rig.post("/forget-requests", json=body(target, **changes))
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def samples(*ids: str) -> dict[str, Any]:
    return {"kind": "samples", "sample_ids": list(ids)}


def nothing_happened(rig: Rig) -> None:
    """No request, no claim, no job of unlearning, no remembered key."""
    assert (rig.count(ForgetRequest), rig.count(Tombstone), rig.count(IdempotencyRecord)) == (0, 0, 0)
    with reading() as session:
        assert session.scalars(select(Job).where(Job.kind == JobKind.UNLEARNING)).all() == []


def job_of(request: dict[str, Any], act: Callable[[Any, Job], Any]) -> None:
    """Let something happen to the job, and the request follow it."""
    with transaction() as session:
        job = session.get_one(Job, request["job_id"])
        act(session, job)
        service.follow(session, job)


def run(request: dict[str, Any]) -> None:
    job_of(request, lambda session, job: jobs.transition(session, job, JobStatus.RUNNING))


def complete(request: dict[str, Any], *, version: str | None = None, verdict: str = "pass") -> None:
    """As the worker does, with all that share the job; its result is the base itself, or another version."""
    run(request)
    with transaction() as session:
        rows = service.batch(session, request["job_id"])
        reports = [
            AuditReport(
                id="ar_" + row.id[3:],
                tenant_id=row.tenant_id,
                forget_request_id=row.id,
                job_id=row.job_id,
                verdict=verdict,
                body={},
                envelope={},
            )
            for row in rows
        ]
        session.add_all(reports)
        result = version or rows[0].base_version_id
        service.complete(session, rows, version_id=result, reports=[report.id for report in reports])


def test_an_accepted_request_is_one_transaction(api: Rig) -> None:
    version = api.deployed()

    answer = api.post("/forget-requests", json=body(external_id="DSAR-1", received_at="2026-01-31T10:00:00+01:00"))

    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert answer.headers["location"] == f"/forget-requests/{found['id']}"
    assert int(answer.headers["retry-after"]) > 0
    assert (found["status"], found["base_version_id"], found["sample_count"]) == ("queued", version, 2)
    assert (found["method"]["name"], found["method"]["rate_factor"]) == ("finetune", 1.5)
    assert (found["method_chosen_by"], found["method_reason"]) == (
        "auto",
        "finetune then eu_k then retrain, until the audit passes",
    )
    assert [(rung["method"]["name"], rung["left_out"]) for rung in found["ladder"]] == [
        ("finetune", None),
        ("eu_k", None),
        ("retrain", None),
    ]
    assert found["ladder"][1]["method"] == EuKParams().model_dump(mode="json")
    assert (found["received_at"], found["due_at"]) == ("2026-01-31T09:00:00Z", "2026-02-28T09:00:00Z")
    assert [metric["name"] for metric in found["audit"]["metrics"]] == [metric().name for metric in DEFAULT_METRICS]
    assert [step["status"] for step in found["transitions"]] == ["received", "queued"]
    assert found["next_actions"][0]["href"] == f"/forget-requests/{found['id']}/cancel"
    with reading() as session:
        job = session.get_one(Job, found["job_id"])
        assert (job.kind, job.subject_id, job.exclusive_model_id) == (
            JobKind.UNLEARNING,
            found["id"],
            found["model_id"],
        )
        session.scalars(select(OutboxMessage).where(OutboxMessage.job_id == job.id)).one()
        actions = session.scalars(select(AuditLogEntry.action).where(AuditLogEntry.resource == found["id"])).all()
        assert sorted(actions) == ["forget_request.queued", "forget_request.received"]
        assert audit_log.verify(session, "tn_test") is None
        row = session.get_one(ForgetRequest, found["id"])
        assert service.positions_by_request(session, found["job_id"]) == {found["id"]: [1, 2]}
        assert service.excluded_positions(session, row.dataset_id) == []
        StoredTarget.model_validate(row.target)


def test_nothing_that_comes_out_or_is_logged_names_a_sample_or_a_subject(api: Rig) -> None:
    api.deployed()
    found = submit(api, {"kind": "subjects", "subject_ids": ["person-1"]})
    assert found["sample_count"] == 4
    with reading() as session:
        row = session.get_one(ForgetRequest, found["id"])
        log = json.dumps([entry.data for entry in session.scalars(select(AuditLogEntry))])
        everything = json.dumps([found, row.target, log])
    assert "person-" not in everything
    assert "train-0" not in everything


@pytest.mark.parametrize(
    ("target", "count", "scope", "method"),
    [
        ({"kind": "subjects", "subject_ids": ["person-0", "person-1"]}, 8, "sample", "finetune"),
        ({"kind": "class", "label": 1}, 10, "sample", "ssd"),
        ({"kind": "backdoor", "sample_ids": ["train-00"], "transform": {"name": "line"}}, 1, "feature", "consistency"),
        ({"kind": "backdoor", "filter": {"label": 0}, "transform": {"name": "tile"}}, 10, "feature", "consistency"),
        ({"kind": "leakage", "filter": {"subject_ids": ["person-2"]}, "mask": MASK}, 4, "feature", "consistency"),
        (
            {"kind": "leakage", "filter": {"label": 1, "subject_ids": ["person-2"]}, "mask": MASK},
            2,
            "feature",
            "consistency",
        ),
    ],
)
def test_every_kind_of_target(api: Rig, target: dict[str, Any], count: int, scope: str, method: str) -> None:
    api.deployed()
    found = submit(api, target)
    assert (found["sample_count"], found["kind"], found["method"]["name"]) == (count, target["kind"], method)
    with reading() as session:
        assert set(session.scalars(select(Tombstone.scope))) == {scope}
    assert api.count(Tombstone) == count


BAD: list[tuple[dict[str, Any], str, str]] = [
    (body(samples("train-01", "x1", "x2")), "unknown_samples", "/target/sample_ids"),
    (body(samples("train-01", "train-02", "train-01")), "duplicate_ids", "/target/sample_ids"),
    (body(samples("test-01")), "not_training_samples", "/target/sample_ids"),
    (body(samples()), "invalid_request", "/target/sample_ids"),
    (body(samples(*map(str, range(10_001)))), "invalid_request", "/target/sample_ids"),
    (body(samples("a\x00")), "invalid_request", "/target/sample_ids/0"),
    (body({"kind": "subjects", "subject_ids": ["person-9"]}), "unknown_subjects", "/target/subject_ids"),
    (body({"kind": "subjects", "subject_ids": ["person-1"] * 2}), "duplicate_ids", "/target/subject_ids"),
    (body({"kind": "class", "label": 3}), "label_out_of_range", "/target/label"),
    (body({"kind": "class", "label": 2}), "empty_target", "/target/label"),
    (body({"kind": "class", "label": -1}), "invalid_request", "/target/label"),
    (body({"kind": "class", "label": 10**30}), "invalid_request", "/target/label"),
    (body({"kind": "backdoor", "sample_ids": ["train-01"]}), "invalid_request", "/target"),
    (body({"kind": "backdoor", "sample_ids": ["train-01"], "pairs": "clean"}), "unknown_dataset", "/target/pairs"),
    (
        body({"kind": "backdoor", "sample_ids": ["train-01"], "transform": {"name": "color"}}),
        "transform_misfit",
        "/target/transform",
    ),
    (body({"kind": "backdoor", "transform": {"name": "line"}}), "invalid_request", "/target"),
    (body({"kind": "backdoor", "transform": {"name": "line"}, "filter": {}}), "invalid_request", "/target/filter"),
    (
        body({"kind": "backdoor", "transform": {"name": "line"}, "filter": {"label": 9}}),
        "label_out_of_range",
        "/target/filter/label",
    ),
    (
        body({"kind": "leakage", "mask": MASK, "filter": {"label": 2, "subject_ids": ["person-1"]}}),
        "empty_target",
        "/target/filter",
    ),
    (
        body(
            {
                "kind": "leakage",
                "sample_ids": ["train-01"],
                "mask": {**MASK, "rectangles": [{"top": 7, "left": 0, "height": 2, "width": 1}]},
            }
        ),
        "mask_misfit",
        "/target/mask",
    ),
    (
        body(
            {
                "kind": "leakage",
                "sample_ids": ["train-01"],
                "mask": {
                    **MASK,
                    "rectangles": [
                        {"top": 0, "left": 0, "height": 5, "width": 8},
                        {"top": 3, "left": 0, "height": 5, "width": 8},
                    ],
                },
            }
        ),
        "mask_misfit",
        "/target/mask",
    ),
    (body({"kind": "samples", "dataset": "other", "sample_ids": ["a"]}), "wrong_dataset", "/target/dataset"),
    (body({"kind": "samples", "dataset": "nonesuch", "sample_ids": ["a"]}), "unknown_dataset", "/target/dataset"),
    (body({"kind": "everything"}), "invalid_request", "/target"),
    (body({"kind": "subjects", "subject_ids": [f"person-{n}" for n in range(5)]}), "nothing_stays", "/target"),
    (body(model="nonesuch"), "unknown_model", "/model"),
    (body(alias="staging"), "unknown_alias", "/alias"),
    (body(version="mv_" + "0" * 32), "unknown_version", "/version"),
    (body(version="mv_" + "0" * 32, alias="deployed"), "invalid_request", ""),
    (body(method={"name": "truncation"}), "method_does_not_serve", "/method"),
    (body(method={"name": "magic"}), "invalid_request", "/method"),
    (body(method={"name": "deepclean", "fraction": 2}), "invalid_request", "/method/fraction"),
    (body(method={"name": "auto", "x": 1}), "invalid_request", "/method/x"),
    (body(audit={"gold": "registered"}), "invalid_request", "/audit"),
    (body(audit={"gold": "none", "gold_seeds": 3}), "invalid_request", "/audit"),
    (body(audit={"gold": "none", "gold_versions": ["mv_" + "0" * 32]}), "invalid_request", "/audit"),
    (
        body(audit={"gold": "registered", "gold_versions": ["mv_" + "0" * 32]}),
        "unknown_version",
        "/audit/gold_versions/0",
    ),
    (body(audit={"metrics": [{"name": "mia"}, {"name": "mia"}]}), "invalid_request", "/audit"),
    (body(audit={"metrics": []}), "invalid_request", "/audit/metrics"),
    *(
        (
            body(audit={"metrics": [{"name": "mia_confidence", "attacks": attacks}]}),
            "invalid_request",
            f"/audit/metrics/0/attacks{place}",
        )
        for attacks, place in ((["entropy", "entropy"], ""), ([], ""), (["confidence", "loss"], "/1"))
    ),
    (body(seed=2**31), "invalid_request", "/seed"),
    (body(received_at="2026-01-31T10:00:00"), "invalid_request", "/received_at"),
    (body(received_at="2999-01-01T00:00:00Z"), "time_out_of_range", "/received_at"),
    (body(received_at="0001-01-01T00:00:00+14:00"), "time_out_of_range", "/received_at"),
    (body(external_id="a\x00"), "invalid_request", "/external_id"),
    ({"model": "net"}, "invalid_request", "/target"),
]


def test_every_wrong_request_is_a_422_that_points_to_the_field_and_leaves_nothing(lone: Rig) -> None:
    lone.deployed()
    lone.dataset("other")
    for wrong, code, pointer in BAD:
        answer = lone.post("/forget-requests", json=wrong, headers={"Idempotency-Key": "k"})
        problem(answer, 422, code, pointer)
        assert "person-" not in answer.text
        assert "train-" not in answer.text
    nothing_happened(lone)


def test_wrong_ids_are_counted_and_placed_never_named(lone: Rig) -> None:
    lone.deployed()
    ids = ["train-01", *(f"secret-{n}" for n in range(8)), "train-02"]
    found = problem(lone.post("/forget-requests", json=body(samples(*ids))), 422, "unknown_samples")
    assert (found["count"], found["positions"]) == (8, [1, 2, 3, 4, 5])
    assert "secret" not in json.dumps(found)
    found = problem(
        lone.post("/forget-requests", json=body(samples("train-1", "train-01", "train-01"))), 422, "duplicate_ids"
    )
    assert found["positions"] == [2]


def test_pairs_must_have_every_sample_of_the_target(lone: Rig) -> None:
    lone.deployed()
    lone.dataset("clean", ROWS[:2])
    target = {"kind": "backdoor", "sample_ids": ["train-00", "train-02"], "pairs": "clean"}
    found = problem(lone.post("/forget-requests", json=body(target)), 422, "unknown_samples", "/target/pairs")
    assert found["count"] == 1


def test_pairs_do_without_a_transform_and_are_kept_by_their_name(lone: Rig) -> None:
    lone.deployed()
    pairs = lone.dataset("clean")
    target = {"kind": "backdoor", "sample_ids": ["train-00", "train-02"], "pairs": pairs}
    answer = lone.post("/forget-requests", json=body(target, method={"name": "rld"}))
    assert answer.status_code == 202, answer.text
    assert answer.json()["target"]["pairs"] == "clean"


def test_a_method_that_must_be_told_the_transform_is_refused_where_the_request_names_none(lone: Rig) -> None:
    lone.deployed()
    lone.dataset("clean")
    told, infers = {"name": "consistency", "trigger": "given"}, {"name": "consistency"}
    chosen = {"filter": {"label": 0}}
    for target in ({"kind": "backdoor", "pairs": "clean", **chosen}, {"kind": "leakage", "mask": MASK, **chosen}):
        refused = lone.post("/forget-requests", json=body(target, method=told))
        assert "target.transform" in problem(refused, 422, "method_needs_unmet", "/method")["detail"]
    one = {"kind": "backdoor", "transform": {"name": "tile"}, "sample_ids": ["train-00"]}
    assert lone.post("/forget-requests", json=body(one, method=told)).status_code == 202
    other = {"kind": "backdoor", "pairs": "clean", "sample_ids": ["train-02"]}
    assert lone.post("/forget-requests", json=body(other, method=infers)).status_code == 202


def test_a_data_set_without_subjects_says_so(lone: Rig) -> None:
    lone.deployed()
    with transaction() as session:
        row = session.scalars(select(Dataset)).one()
        row.columns = {**row.columns, "subject_id": None}
    target = {"kind": "subjects", "subject_ids": ["person-1"]}
    problem(lone.post("/forget-requests", json=body(target)), 422, "no_subjects", "/target/subject_ids")


def test_what_a_method_needs_must_be_there(lone: Rig) -> None:
    version = lone.deployed(fisher=False, recipe=None)
    problem(lone.post("/forget-requests", json=body(method={"name": "retrain"})), 422, "method_needs_unmet", "/method")
    problem(lone.post("/forget-requests", json=body()), 422, "method_needs_unmet", "/method")
    with transaction() as session:
        models.store_fisher(session, version, path="/f", sha256="0" * 64, count=20)
    answer = lone.post("/forget-requests", json=body(audit={"gold": "retrain"}, method={"name": "rld"}))
    problem(answer, 422, "recipe_missing", "/audit/gold")
    nothing_happened(lone)
    assert submit(lone, method={"name": "rld"})["method_chosen_by"] == "caller"


def test_a_method_that_compares_with_held_out_samples_is_refused_where_there_are_none(lone: Rig) -> None:
    lone.deployed()
    refused = lone.post("/forget-requests", json=body(method={"name": "scrub", "rewind": True}))
    assert "split `validation`" in problem(refused, 422, "method_needs_unmet", "/method")["detail"]
    nothing_happened(lone)
    submit(lone, method={"name": "scrub"})


def test_without_recorded_deltas_no_step_can_be_taken_back(lone: Rig) -> None:
    version = lone.deployed()
    refused = lone.post("/forget-requests", json=body(method={"name": "amnesiac"}))
    assert "record-deltas" in problem(refused, 422, "method_needs_unmet", "/method")["detail"]
    nothing_happened(lone)
    with transaction() as session:
        session.get_one(ModelVersion, version).deltas_path = "/d"
    submit(lone, method={"name": "amnesiac"})


def test_a_network_beyond_the_size_that_a_method_states_is_refused(lone: Rig) -> None:
    lone.deployed()
    refused = lone.post("/forget-requests", json=body(method={"name": "lcodec", "largest_network": 100}))
    assert "100 are allowed" in problem(refused, 422, "method_misfit", "/method")["detail"]
    submit(lone, method={"name": "lcodec"})


def test_a_training_by_adam_is_refused_by_the_method_that_unrolls_sgd(lone: Rig) -> None:
    lone.deployed(recipe={"learning_rate": 0.1, "epochs": 2, "initial_seed": 7, "optimizer": "adam"})
    refused = lone.post("/forget-requests", json=body(method={"name": "single_gradient"}))
    assert "trains by Adam" in problem(refused, 422, "method_misfit", "/method")["detail"]
    nothing_happened(lone)


def test_gold_versions_are_ready_and_gold(lone: Rig) -> None:
    version = lone.deployed()
    gold, raw = (lone.upload(content=safetensors(fill=b"\1"), query="?role=gold").json()["id"] for _ in range(2))
    with transaction() as session:
        models.settle_version(session, gold)
    audit = {"gold": "registered", "gold_versions": [gold, version]}
    problem(lone.post("/forget-requests", json=body(audit=audit)), 422, "wrong_role", "/audit/gold_versions/1")
    audit["gold_versions"] = [raw]
    problem(lone.post("/forget-requests", json=body(audit=audit)), 409, "version_not_ready")
    nothing_happened(lone)
    audit["gold_versions"] = [gold]
    assert submit(lone, audit=audit)["audit"]["gold_versions"] == [gold]


def test_a_gold_version_with_the_weights_of_the_deployed_one_is_refused(lone: Rig) -> None:
    lone.deployed()
    audit = {"gold": "registered", "gold_versions": [lone.version(role="gold")]}
    answer = lone.post("/forget-requests", json=body(audit=audit))
    problem(answer, 422, "gold_shares_weights", "/audit/gold_versions/0")
    nothing_happened(lone)


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ({"name": "divergence"}, "needs gold models"),
        ({"name": "lira", "references": "shadows"}, "needs the training recipe"),
        ({"name": "unlearning_error"}, "SGD"),
        ({"name": "relearn"}, "does not serve requests of kind samples"),
        ({"name": "neurips_2023"}, "needs the training recipe of the model."),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_a_metric_that_could_not_be_measured_is_refused_and_says_what_it_needs(
    lone: Rig, metric: dict[str, Any], why: str
) -> None:
    lone.deployed(recipe=None)
    asked = body(method={"name": "rld"}, audit={"metrics": [{"name": "accuracy"}, metric]})
    told = problem(lone.post("/forget-requests", json=asked), 422, "metric_needs_unmet", "/audit/metrics/1")
    assert why in told["errors"][0]["message"]
    nothing_happened(lone)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [({}, ["confidence"]), ({"attacks": ["modified_entropy", "correctness"]}, ["modified_entropy", "correctness"])],
    ids=["not asked", "asked"],
)
def test_the_attacks_of_mia_confidence_are_stored_in_the_order_asked_and_by_default_confidence(
    lone: Rig, asked: dict[str, Any], kept: list[str]
) -> None:
    lone.deployed()
    found = submit(lone, method={"name": "rld"}, audit={"metrics": [{"name": "mia_confidence", **asked}]})
    assert found["audit"]["metrics"] == [{"name": "mia_confidence", "attacks": kept}]


def test_an_attack_that_stands_twice_is_refused_by_name(lone: Rig) -> None:
    lone.deployed()
    metric = {"name": "mia_confidence", "attacks": ["entropy", "confidence", "entropy"]}
    sent = body(audit={"metrics": [{"name": "accuracy"}, metric]})
    told = problem(lone.post("/forget-requests", json=sent), 422, "invalid_request", "/audit/metrics/1/attacks")
    assert "an attack stands twice: entropy" in told["errors"][0]["message"]
    nothing_happened(lone)


def test_a_named_version_must_be_ready(lone: Rig) -> None:
    lone.deployed()
    raw = lone.upload().json()["id"]
    problem(lone.post("/forget-requests", json=body(version=raw)), 409, "version_not_ready")
    ready = lone.version()
    found = submit(lone, version=ready)
    assert (found["base_version_id"], found["alias"]) == (ready, None)


def test_what_is_requested_already_is_left_out_and_listed(api: Rig) -> None:
    api.deployed()
    first = submit(api)
    second = submit(api, samples("train-02", "train-03"), seed=1)  # in a job of its own
    assert second["sample_count"] == 1
    assert second["already_forgotten"] == [{"forget_request": first["id"], "samples": 1}]

    again = api.post("/forget-requests", json=body(samples("train-02")))
    assert problem(again, 409, "already_requested")["forget_request"] == first["id"]
    assert again.headers["location"] == f"/forget-requests/{first['id']}"
    complete(first)
    over = api.post("/forget-requests", json=body(samples("train-02")))
    assert problem(over, 409, "already_forgotten")["forget_request"] == first["id"]
    both = api.post("/forget-requests", json=body(samples("train-02", "train-03")))
    assert problem(both, 409, "already_requested")["forget_request"] == second["id"]
    assert api.count(ForgetRequest) == 2


def test_truncation_forgets_nothing_so_the_class_can_still_be_forgotten(lone: Rig) -> None:
    lone.deployed()
    target = {"kind": "class", "label": 1}
    first = submit(lone, target, method={"name": "truncation"})
    problem(lone.post("/forget-requests", json=body(target)), 409, "already_requested")
    complete(first, verdict="mitigation_only")
    with reading() as session:
        row = session.get_one(ForgetRequest, first["id"])
        assert service.excluded_positions(session, row.dataset_id) == []
        assert service.forgotten_classes(session, session.get_one(ModelVersion, row.base_version_id)) == []
    assert submit(lone, target)["sample_count"] == 10


def test_an_unrelated_version_can_still_forget_what_another_forgot(lone: Rig) -> None:
    lone.deployed()
    forgetting = lone.version()
    complete(submit(lone), version=forgetting)
    problem(lone.post("/forget-requests", json=body(version=forgetting)), 409, "already_forgotten")
    assert submit(lone)["sample_count"] == 2  # the deployed one still knows them
    problem(lone.post("/forget-requests", json=body()), 409, "already_requested")


def test_what_a_descendant_has_forgotten_is_answered_with_the_version_to_deploy(lone: Rig) -> None:
    base = lone.deployed()
    first = submit(lone)
    child = lone.version()
    with transaction() as session:
        session.get_one(ModelVersion, child).parent_id = base
    complete(first, version=child)
    found = problem(lone.post("/forget-requests", json=body()), 409, "already_forgotten")
    assert (found["forget_request"], found["version"]) == (first["id"], child)


def test_what_left_a_trace_can_be_asked_for_again(lone: Rig) -> None:
    lone.deployed()
    complete(submit(lone), verdict="trace_found")
    assert submit(lone)["sample_count"] == 2


def test_a_feature_may_be_forgotten_before_the_sample_but_not_after(api: Rig) -> None:
    api.deployed()
    leak = {"kind": "leakage", "sample_ids": ["train-01"], "mask": MASK}
    submit(api, leak)
    problem(api.post("/forget-requests", json=body(leak)), 409, "already_requested")
    assert submit(api, samples("train-01"))["sample_count"] == 1
    submit(api, samples("train-05"))
    gone = {"kind": "leakage", "sample_ids": ["train-05"], "mask": MASK}
    problem(api.post("/forget-requests", json=body(gone)), 409, "already_requested")


def test_two_at_once_for_the_same_sample_one_is_told(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    api.deployed()
    submit(api, samples("train-02"))
    free = tombstones.not_yet_claimed

    def blind(session: Any, base: Any, dataset_id: str, positions: list[int], kind: Any) -> Any:
        _, covered = free(session, base, dataset_id, [*positions, 19], kind)
        return positions, covered  # as if the other one had not been there when we looked

    monkeypatch.setattr(tombstones, "not_yet_claimed", blind)
    answer = api.post("/forget-requests", json=body())
    assert problem(answer, 409, "already_requested")["retryable"] is True
    assert (api.count(ForgetRequest), api.count(Tombstone)) == (1, 1)


def test_the_same_key_gets_the_same_answer(api: Rig) -> None:
    api.deployed()
    key = {"Idempotency-Key": "DSAR-7"}
    first = api.post("/forget-requests", json=body(), headers=key)
    again = api.post("/forget-requests", json=body(), headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert "idempotent-replayed" not in first.headers
    other = api.post("/forget-requests", json=body(seed=1), headers=key)
    problem(other, 422, "idempotency_key_reused")
    problem(api.post("/forget-requests", json=body(), headers={"Idempotency-Key": b"\xe9"}), 422, "invalid_request")
    assert (api.count(ForgetRequest), api.count(IdempotencyRecord)) == (1, 1)


def test_what_is_kept_of_a_repeatable_request_cannot_be_tried_out_without_the_key(lone: Rig) -> None:
    lone.deployed()
    answer = lone.post("/forget-requests", json=body(), headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202, answer.text
    unkeyed = hashlib.sha256(ForgetRequestIn.model_validate(body()).model_dump_json().encode()).hexdigest()
    with reading() as session:
        assert session.scalars(select(IdempotencyRecord)).one().request_sha256 != unkeyed


def test_the_same_key_at_once_makes_one_request(api: Rig) -> None:
    api.deployed()
    answers: list[Any] = []

    def send() -> None:
        answers.append(api.post("/forget-requests", json=body(), headers={"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    codes = [answer.status_code for answer in answers]
    assert set(codes) <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert api.count(ForgetRequest) == 1


def test_a_commit_that_fails_leaves_nothing(api: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    api.deployed()

    def sabotage(_session: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("app.core.db.Session.commit", sabotage)
        answer = api.post("/forget-requests", json=body(), headers={"Idempotency-Key": "k"})
    problem(answer, 500, "internal_error")
    nothing_happened(api)
    assert api.post("/forget-requests", json=body(), headers={"Idempotency-Key": "k"}).status_code == 202


def test_a_waiting_request_is_cancelled_at_once_and_its_samples_are_free_again(api: Rig) -> None:
    api.deployed()
    found = submit(api)
    answer = api.post(f"/forget-requests/{found['id']}/cancel")
    assert (answer.status_code, answer.json()["status"], answer.json()["final"]) == (200, "cancelled", True)
    assert api.get(f"/forget-requests/{found['id']}").json()["next_actions"] == []
    with reading() as session:
        assert session.get_one(Job, found["job_id"]).status is JobStatus.CANCELLED
    assert api.count(Tombstone) == 0
    assert submit(api)["sample_count"] == 2
    assert api.post(f"/forget-requests/{found['id']}/cancel").json()["status"] == "cancelled"


def test_who_cancels_a_job_cancels_what_it_was_for(api: Rig) -> None:
    api.deployed()
    found = submit(api)
    assert api.post(f"/jobs/{found['job_id']}/cancel").status_code == 202
    assert api.get(f"/forget-requests/{found['id']}").json()["status"] == "cancelled"
    assert api.count(Tombstone) == 0
    version = api.upload().json()
    api.post(f"/jobs/{version['job_id']}/cancel")
    assert api.get(f"/models/net/versions/{version['id']}").json()["status_reason"] == "validation_cancelled"
    dataset = api.post("/datasets", json=api.dataset_body("new")).json()
    api.post(f"/jobs/{dataset['job_id']}/cancel")
    assert api.get("/datasets/new").json()["status"] == "invalid"


def test_a_running_request_is_cancelled_by_its_worker(api: Rig) -> None:
    api.deployed()
    found = submit(api)
    run(found)
    path = f"/forget-requests/{found['id']}"
    assert api.get(path).json()["status"] == "running"
    assert api.post(f"{path}/cancel").json()["status"] == "cancelling"
    assert api.count(Tombstone) == 2
    job_of(found, lambda session, job: jobs.transition(session, job, JobStatus.CANCELLED))
    assert api.get(path).json()["status"] == "cancelled"
    assert api.count(Tombstone) == 0


def test_a_request_follows_its_job_back_and_to_its_end(api: Rig) -> None:
    api.deployed()
    found = submit(api)
    run(found)
    with transaction() as session:
        service.transition(session, session.get_one(ForgetRequest, found["id"]), RequestStatus.VERIFYING)
    run(found)  # claimed again after a lost lease
    job_of(found, lambda session, job: jobs.transition(session, job, JobStatus.QUEUED))
    run(found)
    job_of(found, lambda session, job: jobs.fail(session, job, "diverged", "the loss is not finite"))
    over = api.get(f"/forget-requests/{found['id']}").json()
    assert (over["status"], over["status_reason"], over["status_detail"]) == (
        "failed",
        "diverged",
        "the loss is not finite",
    )
    steps = [step["status"] for step in over["transitions"]]
    assert steps == ["received", "queued", "running", "verifying", "running", "queued", "running", "failed"]
    assert api.count(Tombstone) == 0
    problem(api.post(f"/forget-requests/{found['id']}/cancel"), 409, "already_final")
    job_of(found, lambda *_: None)  # following again changes nothing
    assert api.get(f"/forget-requests/{found['id']}").json() == over


def test_a_completed_request_is_for_ever(api: Rig) -> None:
    api.deployed()
    found = submit(api, {"kind": "class", "label": 1})
    complete(found)
    over = api.get(f"/forget-requests/{found['id']}").json()
    assert (over["status"], over["final"], over["overdue"]) == ("completed", True, False)
    assert [step["status"] for step in over["transitions"]][-2:] == ["verifying", "completed"]
    assert {action["action"] for action in over["next_actions"]} == {"read_report", "download_weights"}
    with transaction() as session:
        row = session.get_one(ForgetRequest, found["id"])
        assert service.excluded_positions(session, row.dataset_id) == list(range(1, 20, 2))
        assert service.forgotten_classes(session, session.get_one(ModelVersion, row.base_version_id)) == [1]
        with pytest.raises(ForbiddenArrow):
            service.transition(session, row, RequestStatus.FAILED)


def test_overdue_is_after_the_deadline_and_before_the_end(api: Rig) -> None:
    api.deployed()
    long_ago = (utcnow() - timedelta(days=40)).isoformat()
    found = submit(api, received_at=long_ago)
    assert found["overdue"] is True
    assert api.post(f"/forget-requests/{found['id']}/cancel").json()["overdue"] is False


def test_requests_are_listed_by_status_and_model(api: Rig) -> None:
    api.deployed()
    first, second = submit(api), submit(api, samples("train-05"))
    api.post(f"/forget-requests/{first['id']}/cancel")
    listed = {
        query: [row["id"] for row in api.get(f"/forget-requests{query}").json()["data"]]
        for query in ("", "?status=queued", "?status=cancelled", "?model=net", "?model=nonesuch", "?limit=1")
    }
    assert listed == {
        "": [second["id"], first["id"]],
        "?status=queued": [second["id"]],
        "?status=cancelled": [first["id"]],
        "?model=net": [second["id"], first["id"]],
        "?model=nonesuch": [],
        "?limit=1": [second["id"]],
    }
    problem(api.get("/forget-requests?status=lost"), 422, "invalid_request", "query/status")


def test_a_poll_that_changes_nothing_is_a_304(api: Rig) -> None:
    api.deployed()
    path = f"/forget-requests/{submit(api)['id']}"
    etag = {"If-None-Match": api.get(path).headers["etag"]}
    assert api.get(path, headers=etag).status_code == 304
    api.post(f"{path}/cancel")
    assert api.get(path, headers=etag).status_code == 200


def test_requests_of_another_tenant_are_not_there(api: Rig) -> None:
    api.deployed()
    found = submit(api)
    other = api.other()
    path = f"/forget-requests/{found['id']}"
    problem(other.get(path), 404, "no_such_forget_request")
    problem(other.post(f"{path}/cancel"), 404, "no_such_forget_request")
    problem(other.post("/forget-requests", json=body()), 422, "unknown_model", "/model")
    assert other.get("/forget-requests").json()["data"] == []
    with reading() as session:
        assert session.scalars(select(ModelVersion)).one().tenant_id == "tn_test"
