"""A whole report body, as a worker's measurements and a request make it."""

from typing import Any

from app.audit_reports.certificate import file_of
from app.audit_reports.service import PREDICATE_TYPE, STATEMENT_TYPE
from app.core.signing import sign
from app.domain.findings import Finding, Gold
from app.domain.report import Asked, Cost, Environment, ReportBody, Subject
from app.domain.verdict import LIMITS


def finding(measure: str = "accuracy", on: str = "forget", **changed: Any) -> Finding:
    """Whatever is not named is made up."""
    facts: dict[str, Any] = {
        "metric": "accuracy" if measure == "accuracy" else "mia",
        "measure": measure,
        "on": on,
        "direction": "gold",
        "attack_feature": None,
        "n": 100,
        "seed": 7,
        "before": 0.99,
        "after": 0.87,
        "no_op": 0.99,
        "gold": Gold(mean=0.86, std=0.01, models=3),
        "difference_to_gold": 0.01,
        "interval": (0.79, 0.92),
        "outcome": "inconclusive",
    }
    return Finding(**{**facts, **changed})


def body(**changed: Any) -> dict[str, Any]:
    """The body of a completed report."""
    facts: dict[str, Any] = {
        "report": "ar_" + "0" * 32,
        "job": "job_" + "1" * 32,
        "made_at": "2026-11-20T09:00:00.250000Z",
        "verdict": "inconclusive",
        "summary": ["What was measured neither shows a trace beyond doubt nor excludes one."],
        "asked": Asked(
            forget_request="fr_" + "2" * 32,
            external_id="DSAR-2026-118 <b>é</b> 忘",
            kind="samples",
            target={"kind": "samples", "dataset": "faces-train"},
            samples=100,
            method={"name": "deepclean", "fraction": 0.2},
            method_chosen_by="caller",
            method_reason=None,
            paper="a paper",
            guarantee="none: the effect is measured, not proven",
            audit={"gold": "retrain", "metrics": []},
            seed=7,
            received_at="2026-11-20T09:00:00Z",
            due_at="2026-12-20T09:00:00Z",
        ),
        "subject": Subject(
            model="faces",
            base_version="mv_" + "3" * 32,
            base_weights_sha256="a" * 64,
            new_version="mv_" + "4" * 32,
            new_weights_sha256="b" * 64,
            dataset="faces-train",
            dataset_sha256="c" * 64,
            inputs="pictures",
        ),
        "sizes": {"forget": 100, "retain": 1000, "test": 300},
        "method_facts": {"selected_fraction": 0.2, "steps": 4.0},
        "findings": [finding(), finding("accuracy", "retain", n=1000), finding("attack_auc", after=0.61)],
        "cost": Cost(unlearning_seconds=1.5, gold_seconds=20.0, audit_seconds=0.5),
        "environment": Environment(unlearnd="0.1.0", python="3.11", torch="2.13.0", device="cpu", threads=2),
        "limits": list(LIMITS),
    }
    return ReportBody(**{**facts, **changed}).model_dump(mode="json")


def signed(private: str, **changed: Any) -> bytes:
    """The file of a report that this key signed."""
    document = body(**changed)
    new = document["subject"]["new_weights_sha256"]
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": document["subject"]["new_version"], "digest": {"sha256": new}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": document,
    }
    return file_of(document, sign(statement, private))
