"""The life of a search: accepted in one transaction, trial by trial recorded by its job."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.errors import Conflict, FieldError, Invalid, NotFound, invalid_field
from app.core.ids import new_id
from app.core.params import FEATURE_KINDS, Kind, Need
from app.domain.lifecycle import JobKind, JobStatus, is_final
from app.domain.objective import DIRECTIONS, Objective
from app.forget_requests import service as forget_requests
from app.forget_requests import targets
from app.forget_requests.policy import Stock, choose
from app.forget_requests.schemas import ActionOut
from app.jobs import service as jobs
from app.models import service as models
from app.searches import queries
from app.searches.schemas import CandidateIn, Folds, ObjectiveOut, SearchIn, SearchOut, TrialOut
from app.searches.spaces import space_of
from app.tables import Dataset, Job, Model, Search, SearchTrial
from app.web.pages import Page, Paging, fetch


class Result(NamedTuple):
    """One trial that is over."""

    number: int
    candidate: int
    method: Mapping[str, Any]
    searched: Mapping[str, Any] | None
    value: float | None
    parts: Sequence[Mapping[str, float]]
    code: str | None
    detail: str | None
    seconds: float


def submit(session: Session, wish: SearchIn, *, tenant_id: str, actor: str) -> Search:
    """Accept a search: check all that is cheap now, queue its job. It claims no sample, and changes no model."""
    model, version, dataset = forget_requests.subject_of(session, wish, tenant_id)
    targets.check_transforms(wish.target, dataset, models.seen_by(model, dataset))
    asked_for = targets.resolve(wish.target, dataset)
    pairs = forget_requests.pairs_of(session, wish, dataset, asked_for, tenant_id)
    kind = Kind(wish.target.kind)
    stock = forget_requests.stock_of(session, wish.target, model, version, dataset)
    candidates = [_candidate(candidate, place, kind, stock) for place, candidate in enumerate(wish.candidates)]
    if wish.trials <= len(candidates):
        raise invalid_field("/trials", "The first trials are the candidates as they are: ask for more.", code="too_few")
    objective = _objective(wish, kind, model)
    positions = _left(session, dataset, asked_for)
    _check_parts(wish, kind, len(positions))
    search = Search(
        id=new_id("srch"),
        tenant_id=tenant_id,
        model_id=model.id,
        dataset_id=dataset.id,
        base_version_id=version.id,
        alias=None if wish.version else wish.alias,
        kind=kind.value,
        target=targets.stored(wish.target, dataset, pairs).model_dump(mode="json"),
        positions=positions,
        sample_count=len(positions),
        candidates=candidates,
        trials=wish.trials,
        validation=wish.validation.model_dump(mode="json"),
        objective=objective,
        seed=wish.seed,
    )
    session.add(search)
    session.flush()
    data = {"kind": kind.value, "trials": wish.trials}
    audit_log.record(session, tenant_id=tenant_id, actor=actor, action="search.queued", resource=search.id, data=data)
    job = jobs.enqueue(session, tenant_id=tenant_id, kind=JobKind.SEARCH, subject_id=search.id, actor=actor)
    search.job_id = job.id
    session.flush()
    return search


def get(session: Session, search_id: str, *, tenant_id: str) -> Search:
    """One search of the tenant."""
    search = session.scalar(select(Search).where(Search.id == search_id, Search.tenant_id == tenant_id))
    if search is None:
        raise NotFound("There is no such search.", code="no_such_search")
    return search


def listing(session: Session, paging: Paging, *, tenant_id: str, model: str | None = None) -> Page[SearchOut]:
    """The tenant's searches; only of one model, where it is given."""
    statement = select(Search).where(Search.tenant_id == tenant_id)
    if model is not None:
        found = models.find(session, model, tenant_id=tenant_id)
        statement = statement.where(Search.model_id == (found.id if found else ""))
    return fetch(session, statement, Search.id, paging, lambda search: describe(session, search))


def trials(session: Session, search: Search, paging: Paging) -> Page[TrialOut]:
    """The trials that are over."""
    statement = select(SearchTrial).where(SearchTrial.search_id == search.id)
    return fetch(session, statement, SearchTrial.id, paging, _described)


def describe(session: Session, search: Search) -> SearchOut:
    """A search as the wire has it."""
    job = session.get_one(Job, search.job_id)
    best = queries.best(session, search)
    succeeded, failed = queries.counts(session, search.id)
    facts = {name: getattr(search, name) for name in SearchOut.model_fields if hasattr(search, name)}
    of_job = {name: getattr(job, name) for name in ("status", "status_reason", "status_detail", "progress")}
    return SearchOut(
        **{
            **facts,
            **of_job,
            "objective": ObjectiveOut(name=search.objective, direction=DIRECTIONS[search.objective]),
            "trials_succeeded": succeeded,
            "trials_failed": failed,
            "final": is_final(job.status),
            "best": None if best is None else _described(best),
            "next_actions": _next_actions(search, job),
        }
    )


def cancel(session: Session, search: Search, *, actor: str) -> Search:
    """Have it stopped, if there is still time."""
    jobs.cancel(session, session.get_one(Job, search.job_id), actor=actor)
    return search


# What the worker reports.


def begin(session: Session, search_id: str, data_sha256: str) -> list[SearchTrial]:
    """The trials to go on from. Of other data than now, since something was forgotten meanwhile, none are."""
    search = session.get_one(Search, search_id)
    if search.data_sha256 != data_sha256:
        session.execute(delete(SearchTrial).where(SearchTrial.search_id == search_id))
        search.data_sha256 = data_sha256
    return list(queries.trials_of(session, search_id))


def record(session: Session, search_id: str, result: Result) -> SearchTrial:
    """One more trial is over; called in a transaction that only the newest attempt may finish."""
    search = session.get_one(Search, search_id)
    trial = SearchTrial(
        id=new_id("trial"),
        tenant_id=search.tenant_id,
        search_id=search_id,
        **{**result._asdict(), "method": dict(result.method), "parts": [dict(part) for part in result.parts]},
    )
    session.add(trial)
    session.flush()
    return trial


def _candidate(candidate: CandidateIn, place: int, kind: Kind, stock: Stock) -> dict[str, Any]:
    pointer = f"/candidates/{place}"
    try:
        choose(candidate.method, kind, stock)
    except Invalid as error:
        errors = [FieldError(f"{pointer}{wrong.pointer}", wrong.message) for wrong in error.errors]
        raise Invalid(error.detail, code=error.code, errors=errors) from None
    if Need.DELTAS in candidate.method.needs(kind):
        message = "Trials train models of their own, whose deltas nobody records: this method cannot be searched for."
        raise invalid_field(f"{pointer}/method", message, code="method_not_searchable")
    space = space_of(candidate, pointer)
    return {
        "method": candidate.method.model_dump(mode="json"),
        "space": {name: asked.model_dump(mode="json") for name, asked in space.items()},
    }


def _objective(wish: SearchIn, kind: Kind, model: Model) -> Objective:
    """What the trials go by.

    Raises:
        Invalid: it cannot be measured.
    """
    if kind in FEATURE_KINDS:
        if wish.gold is not None:
            raise invalid_field("/gold", f"A search for a {kind} goes by accuracies, not by gold.", code="gold_unused")
        if getattr(wish.target, "transform", None) is None:
            message = "Give T: without it D_r,extra cannot be measured, and to do nothing would look best."
            raise invalid_field("/target/transform", message, code="transform_missing")
        return Objective.MIN_ACCURACY
    if wish.gold == "retrain" or (wish.gold is None and model.recipe is not None):
        if model.recipe is None:
            raise invalid_field("/gold", "Retraining needs the training recipe of the model.", code="recipe_missing")
        return Objective.GAP_TO_GOLD
    if kind is not Kind.CLASS:
        message = "Only a class can be searched for without gold: the deployed model has seen all other data."
        raise invalid_field("/gold", message, code="gold_needed")
    return Objective.GAP_TO_THRESHOLDS


def _left(session: Session, dataset: Dataset, positions: Sequence[int]) -> list[int]:
    gone = set(forget_requests.excluded_positions(session, dataset.id))
    left = [position for position in positions if position not in gone]
    if not left:
        raise Conflict("Earlier requests have forgotten all of it.", code="already_forgotten")
    return left


def _check_parts(wish: SearchIn, kind: Kind, samples: int) -> None:
    """Where D_f is split, every validation part holds some of it, and leaves some."""
    if kind in {Kind.SAMPLES, Kind.SUBJECTS}:
        return
    validation = wish.validation
    smallest = validation.count if isinstance(validation, Folds) else 1 / validation.fraction
    if samples < max(2, smallest):
        message = f"{samples} samples are too few for validation parts like these."
        raise invalid_field("/validation", message, code="too_few_samples")


def _described(trial: SearchTrial) -> TrialOut:
    facts = {name: getattr(trial, name) for name in TrialOut.model_fields if name != "status"}
    return TrialOut(**facts, status="failed" if trial.value is None else "succeeded")


def _next_actions(search: Search, job: Job) -> list[ActionOut]:
    here = f"/searches/{search.id}"
    actions = [ActionOut(action="read_trials", method="GET", href=f"{here}/trials")]
    if job.status in {JobStatus.QUEUED, JobStatus.RUNNING}:
        actions.append(ActionOut(action="cancel", method="POST", href=f"{here}/cancel"))
    return actions
