"""Planning: which requests a job carries out together, on which version, by which methods, and what it waits for first.

A request by alias names a line of versions, not one of them. What it builds on, and the ladder of `auto`, are settled
when its job is claimed for the first time: then nothing joins the job any more, and every later attempt does the same.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.orm import Session

from app.catalogue.unions import AnyArchitecture, AnyMethod
from app.core.db import now
from app.core.errors import Conflict, invalid_field
from app.core.params import ArchitectureParams, Deployed, Kind, MethodParams, Need
from app.core.settings import get_settings
from app.domain.drift import DriftBudget, spent
from app.domain.lifecycle import USABLE, JobKind, JobStatus
from app.forget_requests.policy import Choice, Stock, choose, ladder_of
from app.forget_requests.queries import batch, batch_size, methods_behind, undeployed_child
from app.forget_requests.schemas import AnyTarget, StoredTarget
from app.jobs import queries
from app.jobs import service as jobs
from app.methods.retrain import RetrainParams
from app.models import aliases
from app.models import service as models
from app.outbox import service as outbox
from app.tables import Alias, Dataset, ForgetRequest, Job, Model, ModelVersion

TOGETHER = frozenset({Kind.SAMPLES, Kind.SUBJECTS})
"""Kinds whose requests can be carried out as one: scattered samples, and more of them."""
_ARCHITECTURE: TypeAdapter[ArchitectureParams] = TypeAdapter(AnyArchitecture)
_METHOD: TypeAdapter[MethodParams] = TypeAdapter(AnyMethod)


def enlist(session: Session, request: ForgetRequest, *, actor: str, wait: bool = True) -> Job:
    """The job that carries out the request: one that still waits and does just that for others, or a new one.

    Takes the lock of the job that it joins: call it before the audit log is written to, or with `wait=False`.
    """
    key = _batch_key(request)
    job = queries.joinable(session, key, wait=wait) if key is not None else None
    most, seconds = get_settings().coalesce_most, get_settings().coalesce_wait_seconds
    size = batch_size(session, job.id) if job is not None else 0
    if job is not None and size < most:
        request.job_id = job.id
        if size + 1 == most and job.not_before is not None:  # nobody else can join it: wait no longer
            job.not_before = None
            outbox.publish(session, job)
        session.flush()
        return job
    job = jobs.enqueue(
        session,
        tenant_id=request.tenant_id,
        kind=JobKind.UNLEARNING,
        subject_id=request.id,
        actor=actor,
        exclusive_model_id=request.model_id,
    )
    job.batch_key = key
    if key is not None and seconds and most > 1:
        job.not_before = now(session) + timedelta(seconds=seconds)
    request.job_id = job.id
    session.flush()
    return job


def _batch_key(request: ForgetRequest) -> str | None:
    """Equal for requests that one computation can carry out, and whose audits ask the same."""
    if request.alias is None or Kind(request.kind) not in TOGETHER:
        return None
    facts = {
        "tenant": request.tenant_id,
        "model": request.model_id,
        "alias": request.alias,
        "dataset": request.dataset_id,
        "kind": request.kind,
        "target": {name: value for name, value in request.target.items() if name != "kind"},
        "method": request.method if request.method_chosen_by == "caller" else "auto",
        "audit": request.audit,
        "policy": request.policy,
        "seed": request.seed,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def ready(session: Session, job_id: str) -> bool:
    """Settle what a job builds on that is about to be claimed for the first time.

    Returns:
        False if its turn has not come after all: it waits for the Fisher diagonal of what it builds on.
    """
    job = queries.locked(session, job_id)
    first_time = job is not None and job.kind is JobKind.UNLEARNING and job.status is JobStatus.QUEUED and not job.fence
    if job is None or not first_time or not queries.has_its_turn(session, job):
        return True  # nothing to settle: whether it can be claimed is for the claim to say
    requests = batch(session, job.id)
    if not requests:
        return True
    request = requests[0]
    model, dataset = session.get_one(Model, request.model_id), session.get_one(Dataset, request.dataset_id)
    base = session.get_one(ModelVersion, base_of(session, model, request.alias) or request.base_version_id)
    target = StoredTarget.model_validate(request.target)
    stock = stock_of(session, target, model, base, dataset)
    if stock.fisher_pending and _wants_fisher(request, stock):
        job.awaits_id = base.job_id
        session.flush()
        return False
    _settle(requests, model, base, stock)
    session.flush()
    return True


def base_of(session: Session, model: Model, alias: str | None) -> str | None:
    """The id of the version that a request by the alias builds on now; None if there is no such alias.

    It is where the alias points, or what earlier requests by the same alias have made of that since: the next request
    forgets on top of what they forgot, so that the newest version has forgotten everything.
    """
    found = aliases.find(session, model, alias) if alias is not None else None
    return None if found is None else way_of(session, found)[-1]


def way_of(session: Session, alias: Alias) -> list[str]:
    """The ids of the version that the alias points to and of those that its next request builds on beyond it."""
    way = [alias.version_id]
    while (child := undeployed_child(session, alias, way[-1])) is not None:
        way.append(child)
    return way


def _wants_fisher(request: ForgetRequest, stock: Stock) -> bool:
    kind = Kind(request.kind)
    considered = [_METHOD.validate_python(request.method)] if _named(request) else ladder_of(kind, stock)
    return any(stock.lacks(method, kind) == {Need.FISHER} for method in considered)


def _settle(requests: Sequence[ForgetRequest], model: Model, base: ModelVersion, stock: Stock) -> None:
    plan: dict[str, Any] = {}
    if not _named(requests[0]):
        choice = choose_or_none(Kind(requests[0].kind), stock)
        if choice is not None and (over := budget_spent(model, base)):
            choice = retraining(choice, over)
        plan = documents(choice) if choice is not None else {}  # None: `check` will say why, in the job
    for request in requests:
        request.base_version_id = base.id
        for name, value in plan.items():
            setattr(request, name, value)


def choose_or_none(kind: Kind, stock: Stock) -> Choice | None:
    """The ladder of `auto`, if there is one."""
    if not any(stock.why_not(method, kind) is None for method in ladder_of(kind, stock)):
        return None
    return choose(None, kind, stock)


def budget_spent(model: Model, base: ModelVersion) -> str | None:
    """What of the model's drift budget the version has spent, in words; None if it may drift on."""
    budget = DriftBudget.model_validate(model.drift_budget) if model.drift_budget else None
    return spent(models.drift_of(base), budget)


def retraining(choice: Choice, over: str) -> Choice:
    """Only true retraining, where it is on the ladder; else the ladder as it is, with a warning."""
    if not any(isinstance(rung, RetrainParams) for rung in choice.rungs):
        return replace(choice, reason=f"drift_budget_spent ({over}), but nothing can be retrained; {choice.reason}")
    candidates = tuple(
        candidate
        if candidate.left_out is not None or isinstance(candidate.method, RetrainParams)
        else replace(candidate, left_out=f"drift_budget_spent: {over}")
        for candidate in choice.candidates
    )
    return replace(choice, candidates=candidates, reason=f"retrain, since drift_budget_spent: {over}")


def documents(choice: Choice) -> dict[str, Any]:
    """What the row of a request keeps of a choice."""
    return {
        "method": choice.rungs[0].model_dump(mode="json"),
        "ladder": [
            {"method": candidate.method.model_dump(mode="json"), "left_out": candidate.left_out}
            for candidate in choice.candidates
        ],
        "method_chosen_by": choice.chosen_by,
        "method_reason": choice.reason,
    }


def check(session: Session, request: ForgetRequest) -> None:
    """What was possible when the request was accepted still is, on the version that it builds on.

    Raises:
        Problem: the version cannot be used any more, or no method of the request can work on it.
    """
    model, dataset = session.get_one(Model, request.model_id), session.get_one(Dataset, request.dataset_id)
    base = session.get_one(ModelVersion, request.base_version_id)
    if base.status not in USABLE:
        raise Conflict(f"The version to build on is {base.status} by now.", code="version_not_ready")
    kind, target = Kind(request.kind), StoredTarget.model_validate(request.target)
    stock = stock_of(session, target, model, base, dataset)
    rungs = [_METHOD.validate_python(rung["method"]) for rung in request.ladder if rung["left_out"] is None]
    why_not = [(method, stock.why_not(method, kind)) for method in rungs]
    if why_not and all(why is not None for _, why in why_not):
        told = "; ".join(f"{method.model_dump()['name']} {why}" for method, why in why_not)
        message = f"On version {base.id}, which this request builds on, it cannot be carried out any more: {told}."
        raise invalid_field("/method", message, code="method_needs_unmet")


def stock_of(
    session: Session, target: AnyTarget | StoredTarget, model: Model, version: ModelVersion, dataset: Dataset
) -> Stock:
    """What is there for a method to work with."""
    recipe: Mapping[str, Any] = model.recipe or {}
    label = getattr(target, "label", None) if Kind(target.kind) is Kind.CLASS else None
    there = {
        Need.FISHER: version.fisher_path is not None,
        Need.HELD_OUT: _held_out(dataset, label) > 0,
        Need.RECIPE: model.recipe is not None,
        Need.INITIAL_WEIGHTS: version.initial_weights_path is not None or recipe.get("initial_seed") is not None,
        Need.DELTAS: version.deltas_path is not None,
        Need.TRANSFORM: getattr(target, "transform", None) is not None,
    }
    has = frozenset(need for need, found in there.items() if found)
    pending = models.fisher_status(session, version) == "pending"
    return Stock(has, fisher_pending=pending, deployed=_deployed(session, model, version, dataset))


def _named(request: ForgetRequest) -> bool:
    return request.method_chosen_by == "caller"


def _deployed(session: Session, model: Model, version: ModelVersion, dataset: Dataset) -> Deployed:
    architecture = _ARCHITECTURE.validate_python(model.architecture)
    trained = sum((dataset.counts or {}).get("train", {}).values())
    optimizer = (model.recipe or {}).get("optimizer")
    return Deployed(architecture, trained, methods_behind(session, version), optimizer)


def _held_out(dataset: Dataset, label: int | None) -> int:
    """Samples of the split that methods may look at: of the class, where one is forgotten."""
    counts = (dataset.counts or {}).get("validation", {})
    return sum(counts.values()) if label is None else counts.get(str(label), 0)
