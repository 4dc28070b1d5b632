"""A job that carries out its method many times: by another seed each time, and after a kill from where it was."""

from collections.abc import Callable
from typing import Any

import pytest

from app.core.db import reading, transaction
from app.domain.lifecycle import JobStatus
from app.domain.report import Measured
from app.forget_requests import service as forget_requests
from app.forget_requests.schemas import ForgetRequestIn
from app.methods.retrain import RetrainParams
from app.tables import AuditReport
from tests.worker.test_search import Rig, rig
from tests.worker.test_stages import Killed, attempt, captured, give_back
from worker import registry
from worker.numerics.weights import Weights

__all__ = ["captured", "rig"]

MODELS = 8
METRIC = {"name": "neurips_2023", "models": MODELS}


def submit(rig: Rig, method: dict[str, Any]) -> str:
    wish = {
        "model": "reader",
        "version": "mv_" + "0" * 32,
        "target": {"kind": "class", "dataset": "digits", "label": 1},
        "method": method,
        "audit": {"metrics": [{"name": "accuracy"}, METRIC]},
    }
    with transaction() as session:
        request = forget_requests.submit(
            session, ForgetRequestIn.model_validate(wish), tenant_id=rig.tenant.id, actor="key_1"
        )
    return request.id


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, Weights]]:
    """All outcomes: whether of a retraining, with which seed, and the weights."""
    outcomes: list[tuple[str, int, Weights]] = []
    unlearn = registry.unlearn

    def counting(problem: Any, params: Any) -> Any:
        outcome = unlearn(problem, params)
        kind = "retrained" if isinstance(params, RetrainParams) else "unlearned"
        outcomes.append((kind, problem.seed, outcome.weights))
        return outcome

    monkeypatch.setattr(registry, "unlearn", counting)
    return outcomes


def body(request_id: str) -> dict[str, Any]:
    with reading() as session:
        (report,) = (r for r in session.query(AuditReport) if r.forget_request_id == request_id)
        return report.body or {}


def test_of_a_method_without_randomness_the_report_says_why_there_is_no_score(
    rig: Rig, made: list[tuple[str, int, Weights]]
) -> None:
    request_id = submit(rig, {"name": "single_gradient"})
    job = attempt(request_id, lambda _: None)
    assert job.status is JobStatus.SUCCEEDED, job.status_detail
    assert [kind for kind, *_ in made] == ["unlearned"]
    (told,) = body(request_id)["not_measured"]
    assert told["metric"] == "neurips_2023"
    assert told["reason"].startswith("another seed gives the same model")


def test_many_seeds_are_compared_and_a_killed_job_goes_on_where_it_was(
    rig: Rig, made: list[tuple[str, int, Weights]], captured: list[tuple[Any, Measured]]
) -> None:
    request_id = submit(rig, {"name": "finetune", "epochs": 1})
    with pytest.raises(Killed):
        attempt(request_id, lambda _: None)
    give_back(request_id)
    seeds = {kind: {seed for of, seed, _ in made if of == kind} for kind in ("unlearned", "retrained")}
    assert {kind: len(found) for kind, found in seeds.items()} == {"unlearned": MODELS + 1, "retrained": MODELS}
    _, measured = captured[0]
    found = [finding for finding in measured.findings if finding.metric == "neurips_2023"]
    assert [(f.measure, f.on, f.before) for f in found] == [
        ("forgetting_quality", "forget", 0.0),
        ("challenge_score", "forget, retain, test", 0.0),
    ]
    assert measured.not_measured == []
    assert not [name for name in measured.method_facts if "neurips" in name or name.startswith("again")]
    made.clear()
    kept: dict[str, Any] = {}
    for stage in ("neurips_2023_unlearned.4", "neurips_2023_retrained.6"):
        with pytest.raises(Killed):
            attempt(request_id, killer(stage), kept)
        give_back(request_id)
    with pytest.raises(Killed):
        attempt(request_id, lambda _: None, kept)
    assert len(made) == 1 + 2 * MODELS
    _, again = captured[1]
    assert again.findings == measured.findings


def killer(stage: str) -> Callable[[str], None]:
    def kill(phase: str) -> None:
        if stage in phase:
            raise Killed

    return kill
