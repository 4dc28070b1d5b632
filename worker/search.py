"""The story of a search of hyper-parameters: rehearse, try, write down each trial as soon as it is over."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy.orm import Session
from torch import Tensor

from app.catalogue.unions import AnyMethod
from app.core.db import reading, transaction
from app.core.params import MethodParams
from app.core.spaces import AnyRange
from app.domain.objective import DIRECTIONS
from app.jobs import service as jobs
from app.searches import service as searches
from app.searches.schemas import AnyValidation, Folds
from app.tables import ForgetRequest, Job, Search, SearchTrial
from worker import artifacts, registry
from worker.loading import Case, case_for, problem_of
from worker.numerics.run import Checkpoint, Fact, Run
from worker.numerics.splits import folds, hold_out
from worker.rehearsal import Parts, Rehearsal, Scored, rehearsals

TRIAL = "trial"
"""Fact of every checkpoint of a trial: its number, from 0."""

_METHOD: TypeAdapter[MethodParams] = TypeAdapter(AnyMethod)
_SPACE: TypeAdapter[dict[str, AnyRange]] = TypeAdapter(dict[str, AnyRange])
_VALIDATION: TypeAdapter[AnyValidation] = TypeAdapter(AnyValidation)


def search(job_id: str, fence: int, run: Run) -> None:
    """Make the trials that are still to be made. One that is over is never made again, whoever is killed."""
    from worker import study  # noqa: PLC0415 - Optuna takes a second to import, which no other job should pay

    with reading() as session:
        row = session.get_one(Search, session.get_one(Job, job_id).subject_id)
        case = _case(session, row)
    candidates = [
        study.Candidate(_METHOD.validate_python(c["method"]), _SPACE.validate_python(c["space"]))
        for c in row.candidates
    ]
    made = rehearsals(
        problem_of(case, run), case.kind, row.objective, _parts(row.validation), frozenset(case.base.silenced_classes)
    )
    with transaction() as session:
        jobs.fenced(session, job_id, fence)
        earlier = searches.begin(session, row.id, _data_sha256(case))
    counting = Counting(run, done=len(earlier), total=row.trials)

    def evaluate(method: MethodParams, _: int) -> list[Scored]:
        return [tried(rehearsal, method, counting.on(number)) for number, rehearsal in enumerate(made, 1)]

    for trial in study.search(
        candidates,
        evaluate,
        total=row.trials,
        direction=DIRECTIONS[row.objective],
        seed=row.seed,
        earlier=[_trial(one) for one in earlier],
    ):
        with transaction() as session:
            jobs.fenced(session, job_id, fence)
            searches.record(session, row.id, searches.Result(**vars(trial)))
        counting.one_more()
    with transaction() as session:
        jobs.succeed(session, jobs.fenced(session, job_id, fence))


def tried(rehearsal: Rehearsal, method: MethodParams, run: Run) -> Scored:
    """What a method is worth on one validation part."""
    rehearsal = replace(rehearsal, problem=replace(rehearsal.problem, run=run))
    return rehearsal.score(registry.unlearn(rehearsal.problem, method))


class Counting:
    """The run of a method within a search: progress is in trials.

    A checkpoint belongs to one trial, on one validation part. The next trial replaces it, and none finds another's.
    """

    def __init__(self, whole: Run, *, done: int, total: int, part: int = 0) -> None:
        self._whole = whole
        self._done = done
        self._total = total
        self._part = part

    def on(self, part: int) -> "Counting":
        """The same trial on one validation part."""
        return Counting(self._whole, done=self._done, total=self._total, part=part)

    def one_more(self) -> None:
        """A trial is over."""
        self._done += 1
        self._tell()

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:  # noqa: ARG002 - the protocol's
        """Say how many trials are over, whatever happens within one; hear a cancellation."""
        self._tell()

    def note(self, name: str, value: Fact) -> None:
        """Keep nothing."""

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep it for this trial."""
        tensors, facts = checkpoint
        self._whole.save(f"part_{self._part}.{name}", (tensors, {**facts, TRIAL: self._done}))

    def saved(self, name: str) -> Checkpoint | None:
        """Find it, if this trial kept it."""
        found = self._whole.saved(f"part_{self._part}.{name}")
        return found if found is not None and found[1].get(TRIAL) == self._done else None

    def _tell(self) -> None:
        self._whole.progress("trials", self._done, self._total, "trials")


def _case(session: Session, row: Search) -> Case:
    # The request that is rehearsed. Nobody made it: the row is in no session, and never stored.
    request = ForgetRequest(
        id=row.id,
        tenant_id=row.tenant_id,
        model_id=row.model_id,
        dataset_id=row.dataset_id,
        base_version_id=row.base_version_id,
        kind=row.kind,
        target=row.target,
        method=row.candidates[0]["method"],
        ladder=[{"method": candidate["method"], "left_out": None} for candidate in row.candidates],
        audit={},
        seed=row.seed,
    )
    case = case_for(session, request, row.positions)
    gone = set(case.gone)
    return replace(case, forget=[position for position in case.forget if position not in gone])


def _parts(stored: dict[str, Any]) -> Parts:
    asked = _VALIDATION.validate_python(stored)

    def parts(labels: Tensor, seed: int) -> Sequence[Tensor]:
        if isinstance(asked, Folds):
            return folds(labels, asked.count, seed=seed)
        return [hold_out(labels, asked.fraction, seed=seed)]

    return parts


def _data_sha256(case: Case) -> str:
    return artifacts.digest_of({"data": case.data.digest, "forget": case.forget, "gone": case.gone})


def _trial(row: SearchTrial) -> Any:
    from worker.study import Trial  # noqa: PLC0415 - see above

    return Trial(**{name: getattr(row, name) for name in searches.Result._fields})
