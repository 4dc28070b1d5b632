"""Climb a ladder of methods: run a rung, audit it, stop at the first that passes; once killed, go on where it was."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from app.core.params import Kind, MethodParams
from app.domain.findings import Finding
from app.domain.report import Rung
from app.domain.rules import STANDARD, Policy
from app.domain.rungs import Assessment, assess
from worker.numerics.errors import NumericsError
from worker.numerics.outcome import Outcome
from worker.numerics.run import Checkpoint, Fact, Part, Run

OUTCOME, FINDINGS, FAILURE = "outcome", "findings", "failure"
"""Names of the checkpoints of what is finished, under the part's own name."""
BOUND, SPENT = "part_bound", "part_seconds"
"""Facts of every checkpoint of a part."""

T = TypeVar("T")


class NothingWorked(NumericsError):
    """No rung came to a result; the code is that of the last one's failure."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Climbed(NamedTuple):
    """The rung to publish, and what became of all that were tried."""

    method: MethodParams
    outcome: Outcome
    findings: list[Finding]
    seconds: float
    audit_seconds: float
    rungs: list[Rung]


class Finished(NamedTuple):
    """A rung that came to a result."""

    outcome: Outcome
    findings: list[Finding]
    seconds: float
    audit_seconds: float
    assessment: Assessment


class Failed(NamedTuple):
    """A rung that did not."""

    code: str
    detail: str
    seconds: float


def climb(
    ladder: Sequence[MethodParams],
    kind: Kind,
    run: Run,
    *,
    unlearn: Callable[[MethodParams, Run], Outcome],
    prepare: Callable[[], None],
    audit: Callable[[MethodParams, Outcome, Run], list[Finding]],
    policy: Policy = STANDARD,
    bound: str = "",
) -> Climbed:
    """Try the methods in order until one passes, or no later one could show more; else the best of them.

    Every rung starts from the deployed version: what one left is of no account to the next. A rung that fails for a
    reason of its own is written down, and the next one tried. Each has a name of its own for phases and checkpoints;
    one that has finished is not run again by a later attempt, whose result is that of an undisturbed one.

    Args:
        ladder: at least one method.
        kind: of the request; it decides what is claimed.
        run: the job's.
        unlearn: carries out one method, as a part of the run.
        prepare: makes what an audit needs and no rung pays for: gold models.
        audit: measures what came out of a method.
        policy: the margins by which an audit is judged.
        bound: a digest of all that the rungs depend on; what was kept under another one is not taken up.

    Raises:
        NothingWorked: every rung failed.
    """
    best, steps = -1, list[Finished | Failed]()
    for number, method in enumerate(ladder, 1):
        part = Noting(run, f"rung_{number}_{name_of(method)}", bound)
        step = _rung(method, kind, part, policy, unlearn=unlearn, prepare=prepare, audit=audit)
        run.note(part.name, _told(step))
        steps.append(step)
        if isinstance(step, Failed):
            continue
        incumbent = steps[best] if best >= 0 else None
        better = not isinstance(incumbent, Finished) or step.assessment.rank <= incumbent.assessment.rank
        steps = [*map(_light, steps[:-1]), step] if better else [*steps[:-1], _light(step)]  # one's weights in memory
        best = number - 1 if better else best
        if step.assessment.enough:
            break
    chosen = steps[best]
    if not isinstance(chosen, Finished):
        raise _nothing_worked(ladder, steps)
    rungs = [
        _documented(method, step, published=number == best)
        for number, (method, step) in enumerate(zip(ladder, steps, strict=False))
    ]
    return Climbed(ladder[best], chosen.outcome, chosen.findings, chosen.seconds, chosen.audit_seconds, rungs)


class Noting(Part):
    """A part that remembers what it noted, so that a later attempt can note it again without the work.

    Its checkpoints say what they are bound to, and how many seconds of work had led to them.
    """

    def __init__(self, whole: Run, name: str, bound: str = "") -> None:
        super().__init__(whole, name)
        self.notes: dict[str, Fact] = {}
        self._bound = bound
        self._began: float | None = None  # of the work that is timed
        self._earlier = 0.0

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """What the work returns, and its seconds; with those of killed attempts, up to their last checkpoint."""
        self._began, self._earlier = time.monotonic(), 0.0
        result, seconds = work(), self._seconds()
        self._began = None
        return result, seconds

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Keep it, bound."""
        tensors, facts = checkpoint
        super().save(name, (tensors, {**facts, BOUND: self._bound, SPENT: self._seconds()}))

    def saved(self, name: str) -> Checkpoint | None:
        """Find it, if it is bound to the same."""
        found = super().saved(name)
        if found is None or found[1].get(BOUND) != self._bound:
            return None
        self._earlier = max(self._earlier, float(found[1].get(SPENT, 0.0)))
        return found

    def note(self, name: str, value: Fact) -> None:
        """Pass it on, and keep it."""
        self.notes[name] = value
        super().note(name, value)

    def _seconds(self) -> float:
        return 0.0 if self._began is None else self._earlier + time.monotonic() - self._began


def kept(part: Noting, work: Callable[[], Outcome]) -> tuple[Outcome, float]:
    """The outcome of the work and its seconds; from its checkpoint, bit for bit, if an earlier attempt finished it."""
    found = part.saved(OUTCOME)
    if found is not None:
        tensors, facts = found
        document = _read(part, facts)
        silenced = frozenset(document["silenced"])
        return Outcome(dict(tensors), document["facts"], silenced), document["seconds"]
    outcome, seconds = part.timed(work)
    document = {"facts": dict(outcome.facts), "silenced": sorted(outcome.silenced), "seconds": seconds}
    part.save(OUTCOME, (outcome.weights, _written(part, document)))
    return outcome, seconds


def name_of(method: MethodParams) -> str:
    """As the catalogue has it."""
    return str(type(method).model_fields["name"].default)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What the work returns, and the seconds that it took."""
    started = time.monotonic()
    return work(), time.monotonic() - started


def _rung(
    method: MethodParams,
    kind: Kind,
    part: Noting,
    policy: Policy,
    *,
    unlearn: Callable[[MethodParams, Run], Outcome],
    prepare: Callable[[], None],
    audit: Callable[[MethodParams, Outcome, Run], list[Finding]],
) -> Finished | Failed:
    if (failure := part.saved(FAILURE)) is not None:
        return Failed(**_read(part, failure[1]))
    started = time.monotonic()
    try:
        outcome, seconds = kept(part, lambda: unlearn(method, part))
        findings, audit_seconds = _findings(part, prepare, lambda: audit(method, outcome, part))
    except NumericsError as error:
        failed = Failed(error.code, str(error), time.monotonic() - started)
        part.save(FAILURE, ({}, _written(part, failed._asdict())))
        return failed
    assessment = assess(kind, findings, changes_weights=method.changes_weights, policy=policy)
    return Finished(outcome, findings, seconds, audit_seconds, assessment)


def _findings(
    part: Noting, prepare: Callable[[], None], work: Callable[[], list[Finding]]
) -> tuple[list[Finding], float]:
    found = part.saved(FINDINGS)
    if found is not None:
        document = _read(part, found[1])
        return [Finding.model_validate(finding) for finding in document["findings"]], document["seconds"]
    prepare()
    findings, seconds = part.timed(work)
    document = {"findings": [finding.model_dump() for finding in findings], "seconds": seconds}
    part.save(FINDINGS, ({}, _written(part, document)))
    return findings, seconds


def _written(part: Noting, document: Mapping[str, object]) -> Mapping[str, Fact]:
    return {"document": json.dumps(document), "notes": json.dumps(part.notes)}  # json keeps every bit of a float


def _read(part: Noting, facts: Mapping[str, Fact]) -> dict[str, Any]:
    for name, value in json.loads(str(facts["notes"])).items():
        part.note(name, value)
    document: dict[str, Any] = json.loads(str(facts["document"]))
    return document


def _light(step: Finished | Failed) -> Finished | Failed:
    return step if isinstance(step, Failed) else step._replace(outcome=Outcome({}))


def _told(step: Finished | Failed) -> str:
    if isinstance(step, Failed):
        return f"failed, {step.code}: {step.detail}"
    return f"{step.assessment.verdict}: {step.assessment.why}"


def _documented(method: MethodParams, step: Finished | Failed, *, published: bool) -> Rung:
    document = method.model_dump(mode="json")
    if isinstance(step, Failed):
        left = f"{step.code}: {step.detail}"
        return Rung(method=document, verdict=None, left=left, seconds=step.seconds, audit_seconds=0, published=False)
    return Rung(
        method=document,
        verdict=step.assessment.verdict,
        left=step.assessment.why,
        seconds=step.seconds,
        audit_seconds=step.audit_seconds,
        published=published,
    )


def _nothing_worked(ladder: Sequence[MethodParams], steps: Sequence[Finished | Failed]) -> NothingWorked:
    failures = [(name_of(m), s) for m, s in zip(ladder, steps, strict=True) if isinstance(s, Failed)]
    _, last = failures[-1]
    if len(failures) == 1:
        return NothingWorked(last.code, last.detail)
    return NothingWorked(last.code, "; ".join(f"{name}: {failure.detail}" for name, failure in failures))
