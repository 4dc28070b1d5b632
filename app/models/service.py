"""Registering models and versions, and what their jobs found."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.catalogue.unions import AnyArchitecture
from app.core.db import now
from app.core.errors import Conflict, NotFound, invalid_field
from app.core.ids import new_id
from app.core.params import ArchitectureParams, InputKind
from app.core.settings import get_settings
from app.datasets import service as datasets
from app.domain.drift import Drift
from app.domain.lifecycle import USABLE, JobKind, JobStatus, VersionStatus, check_arrow, is_final
from app.jobs import service as jobs
from app.jobs.queries import shards_of
from app.jobs.schemas import ProgressOut
from app.models.intake import Arrival, check_alike, check_deltas, check_header, folder_of, place, wrong_digest
from app.models.queries import lock_line
from app.models.schemas import (
    FisherIn,
    FisherOut,
    ModelIn,
    ModelOut,
    Preprocessing,
    RandomCrop,
    Role,
    TrainingRecipe,
    VersionOut,
)
from app.tables import Dataset, ForgetRequest, Job, Model, ModelVersion
from app.web.pages import Page, Paging, fetch
from app.web.text import is_id

_ARCHITECTURE: TypeAdapter[ArchitectureParams] = TypeAdapter(AnyArchitecture)


def register(session: Session, wish: ModelIn, *, tenant_id: str, actor: str) -> Model:
    """Register a model; the data set that it was trained on must be ready, and fit."""
    dataset = datasets.ready(session, wish.dataset, tenant_id=tenant_id, pointer="/dataset")
    check_fit(wish, kind=dataset.input_kind, shape=tuple(dataset.input_shape or ()), classes=dataset.classes)
    model = Model(
        id=new_id("mod"),
        tenant_id=tenant_id,
        name=wish.name,
        task=wish.task,
        architecture=wish.architecture.model_dump(mode="json"),
        preprocessing=wish.preprocessing.model_dump(),
        recipe=wish.recipe.model_dump() if wish.recipe else None,
        dataset_id=dataset.id,
        drift_budget=wish.drift_budget.model_dump() if wish.drift_budget else None,
    )
    try:
        with session.begin_nested():
            session.add(model)
    except IntegrityError:
        raise Conflict("A model of this name exists.", code="name_taken") from None
    record(session, model, actor, "model.registered", {"dataset": dataset.id})
    return model


def seen_shape(preprocessing: Preprocessing, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What the network is given of inputs of this shape: of texts so many words, of all else everything."""
    return shape if preprocessing.words is None else (preprocessing.words.length,)


def check_fit(wish: ModelIn, *, kind: InputKind | None, shape: tuple[int, ...], classes: int) -> None:
    """The network, its preprocessing and its recipe are for such inputs and classes."""
    _check_text(wish, is_text=kind is InputKind.TEXT)
    shape = seen_shape(wish.preprocessing, shape)
    misfit = wish.architecture.misfit(shape, classes)
    if misfit is not None:
        raise invalid_field("/architecture", misfit, code="architecture_misfit")
    for name in ("mean", "std"):
        if len(getattr(wish.preprocessing, name)) not in {1, shape[0]}:
            raise invalid_field(
                f"/preprocessing/{name}",
                f"Give one number, or one for each of {shape[0]}.",
                code="preprocessing_misfit",
            )
    if wish.recipe:
        _check_augmentation(wish.recipe, shape)


def _check_text(wish: ModelIn, *, is_text: bool) -> None:
    words, known = wish.preprocessing.words, wish.architecture.known_words
    if is_text != (words is not None):
        message = 'The inputs are texts: say {"length": …, "vocabulary": …}.' if is_text else "The inputs are no texts."
        raise invalid_field("/preprocessing/words", message, code="preprocessing_misfit")
    if is_text != (known is not None):
        message = (
            "The inputs are texts; text_bag reads them." if is_text else "The network reads texts; these are none."
        )
        raise invalid_field("/architecture", message, code="architecture_misfit")
    if words is not None and words.vocabulary != known:
        message = f"The network tells {known} words apart, the preprocessing {words.vocabulary}: let them agree."
        raise invalid_field("/architecture", message, code="architecture_misfit")


def _check_augmentation(recipe: TrainingRecipe, shape: tuple[int, ...]) -> None:
    if recipe.augmentation and len(shape) != 3:
        message = "Only images are augmented; the inputs of this data set are none."
        raise invalid_field("/recipe/augmentation", message, code="augmentation_misfit")
    for number, step in enumerate(recipe.augmentation):
        if isinstance(step, RandomCrop) and step.padding >= min(shape[1:]):
            pointer = f"/recipe/augmentation/{number}/padding"
            raise invalid_field(pointer, f"The margin must be below {min(shape[1:])}.", code="augmentation_misfit")


def seen_by(model: Model, dataset: Dataset) -> tuple[int, ...]:
    """The shape of what the model is given of a data set's inputs."""
    return seen_shape(Preprocessing.model_validate(model.preprocessing), tuple(dataset.input_shape or ()))


def get(session: Session, ref: str, *, tenant_id: str) -> Model:
    """One model of the tenant, by name or id."""
    model = find(session, ref, tenant_id=tenant_id)
    if model is None:
        raise NotFound("There is no such model.", code="no_such_model")
    return model


def find(session: Session, ref: str, *, tenant_id: str) -> Model | None:
    """One model of the tenant, by name or id, if there is one."""
    key = Model.id if is_id("mod", ref) else Model.name
    return session.scalar(select(Model).where(key == ref, Model.tenant_id == tenant_id))


def listing(session: Session, paging: Paging, *, tenant_id: str) -> Page[ModelOut]:
    """The tenant's models."""
    return fetch(session, select(Model).where(Model.tenant_id == tenant_id), Model.id, paging, ModelOut.model_validate)


def pause_queue(session: Session, model: Model, *, actor: str) -> Model:
    """Its queued jobs wait until the queue is resumed; one that runs goes on. A second call changes nothing."""
    model = _locked_model(session, model)
    if model.queue_paused_at is None:
        model.queue_paused_at = now(session)
        jobs.pause_queue(session, model.id)
        record(session, model, actor, "model.queue_paused", {})
    return model


def resume_queue(session: Session, model: Model, *, actor: str) -> Model:
    """They run again, in their order. A second call changes nothing."""
    model = _locked_model(session, model)
    if model.queue_paused_at is not None:
        model.queue_paused_at = None
        session.flush()
        jobs.resume_queue(session, model.id)
        record(session, model, actor, "model.queue_resumed", {})
    return model


def add_version(
    session: Session,
    model: Model,
    weights: Arrival,
    *,
    actor: str,
    role: Role = "candidate",
    parent: str | None = None,
    initial: Arrival | None = None,
    deltas: Arrival | None = None,
    sha256: str | None = None,
) -> ModelVersion:
    """A new version from weights that have arrived; validated in the background."""
    check_header(weights, pointer=weights.pointer)
    if sha256 is not None and sha256 != weights.sha256:
        raise wrong_digest("/sha256")
    if initial is not None:
        check_alike(weights.path, initial, pointer="/initial_weights_path")
    if deltas is not None:
        _check_deltas(model, deltas, initial)
    if parent is not None and _find_version(session, model, parent) is None:
        raise invalid_field("/parent", "This model has no such version.", code="unknown_version")
    version_id = new_id("mv")
    folder = folder_of(model.id, version_id)
    version = ModelVersion(
        id=version_id,
        tenant_id=model.tenant_id,
        model_id=model.id,
        number=_next_number(session, model.id),
        role=role,
        parent_id=parent,
        status=VersionStatus.VALIDATING,
        weights_path=str(folder / "weights.safetensors"),
        weights_sha256=weights.sha256,
        weights_bytes=weights.size,
        initial_weights_path=str(folder / "initial.safetensors") if initial else None,
        initial_weights_sha256=initial.sha256 if initial else None,
        deltas_path=str(folder / "deltas.safetensors") if deltas else None,
        deltas_sha256=deltas.sha256 if deltas else None,
        silenced_classes=[],
    )
    session.add(version)
    session.flush()
    record(session, version, actor, "version.validating", {"sha256": version.weights_sha256})
    _start(session, version, JobKind.VERSION_VALIDATION, actor)
    place(weights, folder / "weights.safetensors")
    if initial is not None:
        place(initial, folder / "initial.safetensors")
    if deltas is not None:
        place(deltas, folder / "deltas.safetensors")
    return version


def _check_deltas(model: Model, deltas: Arrival, initial: Arrival | None) -> None:
    if initial is None and (model.recipe or {}).get("initial_seed") is None:
        message = "Deltas are checked against the weights before training: give initial_weights_path too."
        raise invalid_field("/deltas_path", message, code="initial_weights_missing")
    check_deltas(deltas, _ARCHITECTURE.validate_python(model.architecture).weight_count, pointer="/deltas_path")


def add_initial_weights(session: Session, version: ModelVersion, arrival: Arrival, *, actor: str) -> ModelVersion:
    """The weights before training, once."""
    locked = _locked(session, version)
    if locked.status is VersionStatus.PURGED:
        raise purged()
    if locked.initial_weights_path is not None:
        raise Conflict("This version has its initial weights; they are written once.", code="initial_weights_exist")
    check_alike(Path(locked.weights_path), arrival, pointer="")
    target = folder_of(locked.model_id, locked.id) / "initial.safetensors"
    locked.initial_weights_path, locked.initial_weights_sha256 = str(target), arrival.sha256
    session.flush()
    record(session, locked, actor, "version.initial_weights", {"sha256": arrival.sha256})
    place(arrival, target)
    return locked


def version_of(session: Session, model: Model, version_id: str) -> ModelVersion:
    """One version of the model."""
    version = _find_version(session, model, version_id)
    if version is None:
        raise NotFound("This model has no such version.", code="no_such_version")
    return version


def versions(session: Session, model: Model, paging: Paging) -> Page[VersionOut]:
    """The model's versions."""
    statement = select(ModelVersion).where(ModelVersion.model_id == model.id)
    return fetch(session, statement, ModelVersion.id, paging, lambda version: describe_version(session, version))


def ready_version(
    session: Session,
    model: Model,
    version_id: str,
    *,
    pointer: str,
    role: Role,
    held: bool = False,
    lock: bool = False,
) -> ModelVersion:
    """The version that a field of a body names, fit to be used in that role; with `held`, one that is held as well.

    With `lock` it stays so until the transaction ends, and its line with it.
    """
    version = _find_version(session, model, version_id)
    if version is not None and lock:
        lock_line(session, version)
    if version is None:
        raise invalid_field(pointer, "This model has no such version.", code="unknown_version")
    if version.role != role:
        raise invalid_field(pointer, f"This needs a version whose role is {role}.", code="wrong_role")
    if version.status is VersionStatus.VALIDATING:
        raise Conflict("The version is still being validated.", code="version_not_ready", retryable=True)
    if version.status is VersionStatus.INVALID:
        raise invalid_field(pointer, "The version was found invalid; its status says why.", code="version_invalid")
    if version.status is VersionStatus.PURGED:
        raise purged()
    if version.status is VersionStatus.HELD and not held:
        raise _is_held(session, version)
    return version


def readable_weights(session: Session, version: ModelVersion) -> Path:
    """The file of weights that were found good, and are neither held nor purged."""
    if version.status is VersionStatus.HELD:
        raise _is_held(session, version)
    if version.status is VersionStatus.PURGED:
        raise purged()
    if version.status not in USABLE:
        raise Conflict(
            "Only weights that were found good are given out.",
            code="version_not_ready",
            retryable=version.status is VersionStatus.VALIDATING,
        )
    return Path(version.weights_path)


def describe_version(session: Session, version: ModelVersion) -> VersionOut:
    """A version as the wire has it."""
    facts = {name: getattr(version, name) for name in VersionOut.model_fields if name not in {"fisher", "drift"}}
    job = _fisher_job(session, version)
    progress = ProgressOut.model_validate(job.progress) if job is not None and job.progress else None
    status = fisher_status(session, version)
    fisher = FisherOut(status=status, count=version.fisher_count, progress=progress)
    return VersionOut(**facts, fisher=fisher, drift=drift_of(version))


def drift_of(version: ModelVersion) -> Drift:
    """How far unlearning has carried it."""
    return Drift.model_validate(version.drift or {})


def fisher_status(session: Session, version: ModelVersion) -> Any:
    """`ready`, `pending` while a job computes it, or `none`."""
    if version.status is VersionStatus.PURGED:
        return "none"
    if version.fisher_path is not None:
        return "ready"
    return "none" if _fisher_job(session, version) is None else "pending"


def fisher_seconds(session: Session, version: ModelVersion) -> float | None:
    """What the stored diagonal took on the workers, all shards together; None if there is none, or it was uploaded."""
    job = session.get(Job, version.job_id) if version.job_id and version.fisher_path else None
    if job is None or job.kind is not JobKind.FISHER:
        return None
    times = [(j.started_at, j.finished_at) for j in [job, *shards_of(session, job.id)]]
    return sum((end - start).total_seconds() for start, end in times if start is not None and end is not None)


def compute_fisher(session: Session, version: ModelVersion, wish: FisherIn, *, actor: str) -> ModelVersion:
    """Have the Fisher diagonal computed, where there is none."""
    if version.status is not VersionStatus.HELD:  # its diagonal is there when it is released
        readable_weights(session, version)
    version = _locked(session, version)  # of two calls at once, the second sees the jobs of the first
    status = fisher_status(session, version)
    if status != "none":
        raise Conflict("The Fisher diagonal is there, or on its way.", code=f"fisher_{status}")
    _start(session, version, JobKind.FISHER, actor, shards=wish.shards)
    return version


# What the worker reports.


def settle_version(session: Session, version_id: str) -> ModelVersion:
    """Validation found it good; the Fisher diagonal of a candidate is computed next."""
    version = session.get_one(ModelVersion, version_id)
    transition(session, version, VersionStatus.READY)
    if version.role == "candidate":
        _start(session, version, JobKind.FISHER, "worker", shards=get_settings().fisher_shards)
    return version


def reject_version(session: Session, version_id: str, code: str, detail: str) -> ModelVersion:
    """Validation found it bad."""
    version = session.get_one(ModelVersion, version_id)
    transition(session, version, VersionStatus.INVALID, reason=code, detail=detail)
    return version


def store_fisher(session: Session, version_id: str, *, path: str, sha256: str, count: int) -> ModelVersion:
    """The Fisher diagonal is computed and in its place."""
    version = session.get_one(ModelVersion, version_id)
    version.fisher_path, version.fisher_sha256, version.fisher_count = path, sha256, count
    session.flush()
    record(session, version, "worker", "version.fisher", {"sha256": sha256, "count": count})
    return version


def publish_version(
    session: Session,
    *,
    parent: ModelVersion,
    version_id: str,
    job_id: str,
    weights_path: str,
    weights_sha256: str,
    weights_bytes: int,
    silenced_classes: list[int],
    held: bool = False,
    drift: Drift | None = None,
    deltas_taken: list[int] | None = None,
    actor: str = "worker",
) -> ModelVersion:
    """The result of an unlearning job: ready at once, or held until it is released; its Fisher diagonal on its way.

    The parent's deltas are its too only if it still is a sum of them: `deltas_taken` names those that it lacks.
    """
    status = VersionStatus.HELD if held else VersionStatus.READY
    version = ModelVersion(
        id=version_id,
        tenant_id=parent.tenant_id,
        model_id=parent.model_id,
        number=_next_number(session, parent.model_id),
        role="candidate",
        parent_id=parent.id,
        made_by_job_id=job_id,
        status=status,
        weights_path=weights_path,
        weights_sha256=weights_sha256,
        weights_bytes=weights_bytes,
        initial_weights_path=parent.initial_weights_path,  # the line began there, whatever was forgotten on the way
        initial_weights_sha256=parent.initial_weights_sha256,
        deltas_path=parent.deltas_path if deltas_taken is not None else None,
        deltas_sha256=parent.deltas_sha256 if deltas_taken is not None else None,
        deltas_taken=deltas_taken,
        silenced_classes=list(silenced_classes),
        drift=drift.model_dump() if drift else None,
    )
    session.add(version)
    session.flush()
    record(session, version, actor, f"version.{status.value}", {"sha256": weights_sha256, "parent": parent.id})
    _start(session, version, JobKind.FISHER, actor, shards=get_settings().fisher_shards)
    return version


def follow(session: Session, job: Job, *, actor: str = "worker") -> None:
    """A validation that came to nothing leaves no version waiting for ever."""
    version = session.get(ModelVersion, job.subject_id)
    if version is None or job.status not in datasets.CAME_TO_NOTHING or version.status is not VersionStatus.VALIDATING:
        return
    reason = (job.status is JobStatus.FAILED and job.status_reason) or f"validation_{job.status.value}"
    transition(session, version, VersionStatus.INVALID, reason=reason, detail=job.status_detail, actor=actor)


def transition(
    session: Session,
    version: ModelVersion,
    status: VersionStatus,
    *,
    reason: str | None = None,
    detail: str | None = None,
    actor: str = "worker",
    data: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Along one arrow of the life cycle, written down, with whatever else is to be known of it."""
    check_arrow(version.status, status)
    version.status, version.status_reason, version.status_detail = status, reason, detail
    session.flush()
    record(session, version, actor, f"version.{status.value}", {"reason": reason, **data})


def purged() -> Conflict:
    """Why a version cannot be used any more."""
    return Conflict("The version is purged: its weights are destroyed. Use another one.", code="version_purged")


def record(session: Session, row: Model | ModelVersion, actor: str, action: str, data: dict[str, Any]) -> None:
    """One entry of the audit log."""
    audit_log.record(session, tenant_id=row.tenant_id, actor=actor, action=action, resource=row.id, data=data)


def _start(session: Session, version: ModelVersion, kind: JobKind, actor: str, *, shards: int = 1) -> None:
    job = jobs.enqueue(
        session, tenant_id=version.tenant_id, kind=kind, subject_id=version.id, actor=actor, shards=shards
    )
    version.job_id = job.id
    session.flush()


def _fisher_job(session: Session, version: ModelVersion) -> Job | None:
    job = session.get(Job, version.job_id) if version.job_id and version.fisher_path is None else None
    return job if job is not None and job.kind is JobKind.FISHER and not is_final(job.status) else None


def _locked_model(session: Session, model: Model) -> Model:
    query = select(Model).where(Model.id == model.id).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _locked(session: Session, version: ModelVersion) -> ModelVersion:
    query = select(ModelVersion).where(ModelVersion.id == version.id).with_for_update(key_share=True)
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _is_held(session: Session, version: ModelVersion) -> Conflict:
    query = select(ForgetRequest.id).where(ForgetRequest.result_version_id == version.id)
    request_id = session.scalars(query.order_by(ForgetRequest.id.desc()).limit(1)).first()
    return Conflict(
        "The version is held by the model's policy until the forget request that made it is released:"
        f" POST /forget-requests/{request_id}/release.",
        code="version_held",
        forget_request=request_id,
    )


def _find_version(session: Session, model: Model, version_id: str) -> ModelVersion | None:
    return session.scalar(select(ModelVersion).where(ModelVersion.id == version_id, ModelVersion.model_id == model.id))


def _next_number(session: Session, model_id: str) -> int:
    # The model's row is the lock: two versions at once would get one number.
    session.execute(select(Model.id).where(Model.id == model_id).with_for_update(key_share=True))
    newest = session.scalar(select(func.max(ModelVersion.number)).where(ModelVersion.model_id == model_id))
    return (newest or 0) + 1
