"""A stand-alone audit, from its row to the signed report, and what makes a gold model no gold model."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save_file

from app.audit_reports import stand_alone
from app.audit_reports.certificate import KnownKey, check, file_of
from app.audit_reports.files import figures_folder
from app.audit_reports.schemas import AuditReportIn
from app.core.db import reading, transaction
from app.core.digests import sha256_of
from app.core.errors import Invalid
from app.core.settings import get_settings
from app.core.signing import public_key_of
from app.domain.lifecycle import ReportStatus, VersionStatus
from app.tables import AuditReport, Dataset, Job, ModelVersion
from tests.journeys import material
from tests.worker.figures.conftest import _bench
from tests.worker.test_pipeline import Rig, rig, run_next
from worker.comparison import check_independent, not_measured
from worker.numerics.outcome import Model

__all__ = ["rig"]


def add_version(rig: Rig, number: int, weights: dict[str, torch.Tensor], role: str = "candidate") -> str:
    path = rig.dataset.with_name(f"w{number}.safetensors")
    save_file(weights, path)
    version_id = f"mv_{number:032x}"
    with transaction() as session:
        version = ModelVersion(
            id=version_id,
            tenant_id=rig.tenant.id,
            model_id="mod_1",
            number=number,
            role=role,
            status=VersionStatus.READY,
            weights_path=str(path),
            weights_sha256=sha256_of(path),
            weights_bytes=path.stat().st_size,
            silenced_classes=[],
        )
        session.add(version)
    return version_id


@pytest.fixture
def versions(rig: Rig) -> list[str]:
    """The trained network; every weight a tenth smaller; and one with noise, as gold."""
    old = load(material.weights())
    smaller = {name: 0.9 * tensor for name, tensor in old.items()}
    generator = torch.Generator().manual_seed(1)
    noisy = {name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator) for name, tensor in old.items()}
    with transaction() as session:
        session.get_one(Dataset, "ds_1").counts = {"train": {"0": 40}, "test": {"0": 8}}
    return [add_version(rig, 901, old), add_version(rig, 902, smaller), add_version(rig, 903, noisy, "gold")]


def audited(rig: Rig, versions: list[str], **audit: Any) -> AuditReport:
    before, after, _ = versions
    target = {"kind": "samples", "dataset": "digits", "sample_ids": [f"d{n:04d}" for n in (0, 1, 2, 3, 4, 6, 7, 8)]}
    wish = {"model": "reader", "before": before, "after": after, "target": target, "audit": audit, "seed": 3}
    with transaction() as session:
        row = stand_alone.submit(session, AuditReportIn.model_validate(wish), tenant_id=rig.tenant.id, actor="key_1")
    while run_next():
        pass
    with reading() as session:
        return session.get_one(AuditReport, row.id)


def test_two_versions_are_audited_and_the_report_verifies(rig: Rig, versions: list[str]) -> None:
    metrics = [{"name": "accuracy"}, {"name": "mia"}]
    row = audited(rig, versions, metrics=metrics, gold="registered", gold_versions=[versions[2]])
    with reading() as session:
        job = session.get_one(Job, row.job_id)
    assert row.status is ReportStatus.COMPLETED, (job.status_reason, job.status_detail)
    assert row.body is not None
    assert row.envelope is not None
    public = public_key_of(get_settings().signing_key.get_secret_value())
    body = check(file_of(row.body, row.envelope), [KnownKey(public, None)]).body
    assert body["asked"]["forget_request"] is None
    assert body["subject"]["new_version"] == versions[1]
    assert body["sizes"]["forget"] == 8
    assert body["cost"]["unlearning_seconds"] is None
    assert {f["measure"] for f in body["findings"]} >= {"accuracy", "attack_auc"}
    assert all(f["gold"] is not None for f in body["findings"])
    for figure in body["figures"]:
        content = (figures_folder(row.id) / f"{figure['name']}.svg").read_bytes()
        assert hashlib.sha256(content).hexdigest() == figure["svg_sha256"]
    assert stand_alone.asked_of(row).positions == []


def test_a_gold_with_one_tensor_of_an_audited_model_ends_the_audit(rig: Rig, versions: list[str]) -> None:
    old, noisy = load(material.weights()), load((rig.dataset.with_name("w903.safetensors")).read_bytes())
    name = max(old, key=lambda key: old[key].numel())
    gold = add_version(rig, 904, {**noisy, name: old[name]}, "gold")
    row = audited(rig, versions, gold="registered", gold_versions=[gold])
    assert (row.status, row.status_reason) == (ReportStatus.FAILED, "gold_shares_weights")
    assert name in (row.status_detail or "")


def test_gold_models_may_share_what_training_leaves_alike_and_nothing_else() -> None:
    bench = _bench()
    check_independent(bench.golds, bench.before, bench.after)
    gold = {name: tensor.clone() for name, tensor in bench.golds[0].weights.items()}
    bias = next(name for name in gold if name.endswith("bias"))
    both = torch.zeros_like(gold[bias])
    alike = replace(
        bench,
        before=Model(bench.before.build, {**bench.before.weights, bias: both}),
        golds=(Model(bench.before.build, {**gold, bias: both}),),
    )
    check_independent(alike.golds, alike.before, alike.after)
    taken = replace(bench, golds=(Model(bench.before.build, {**gold, bias: bench.after.weights[bias]}),))
    with pytest.raises(Invalid, match=bias):
        check_independent(taken.golds, taken.before, taken.after)


def test_a_metric_without_a_finding_says_what_it_missed() -> None:
    bench = _bench()
    poor = replace(bench, sets={name: bench.sets[name] for name in ("retain", "forget")})
    told = not_measured(poor, ["accuracy", "mia"], {"accuracy"})
    assert [(one.metric, one.reason) for one in told] == [("mia", "there is no held-out data")]
