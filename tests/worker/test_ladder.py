"""Climbing, with rungs that are made up: what is tried, what is published, what a later attempt does again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest
import torch

from app.core.params import Kind, MethodParams
from app.domain.findings import Finding
from app.domain.rules import STANDARD, Policy
from app.methods.deepclean import DeepCleanParams
from app.methods.finetune import FinetuneParams
from app.methods.retrain import RetrainParams
from tests.app.domain.test_rungs import samples
from worker.ladder import Climbed, NothingWorked, Noting, climb, kept
from worker.numerics.errors import ForgetsTooMuch, NonFinite
from worker.numerics.outcome import Outcome
from worker.numerics.run import Cancelled, Checkpoint, Fact, Run

LADDER = (FinetuneParams(), DeepCleanParams(), RetrainParams())
PASS, TRACE, WORSE, FEW = samples(0.9, 0.5), samples(0.95, 0.5), samples(1.0, 0.6), samples(0.9, 0.55, n=40)


class Killed(BaseException):
    """As if the child had been killed."""


@dataclass
class Job:
    """Checkpoints outlive an attempt; notes and phases are the attempt's own."""

    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    notes: dict[str, Fact] = field(default_factory=dict)
    phases: list[str] = field(default_factory=list)

    def attempt(self) -> "Job":
        return Job(self.checkpoints)

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:  # noqa: ARG002 - the protocol's
        self.phases.append(phase)

    def note(self, name: str, value: Fact) -> None:
        self.notes[name] = value

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        self.checkpoints[name] = checkpoint

    def saved(self, name: str) -> Checkpoint | None:
        return self.checkpoints.get(name)


Found = Sequence[Finding] | Exception


@dataclass
class Rungs:
    """What each method comes to, and which were asked to work."""

    found: Mapping[str, Found]
    interrupt: Callable[[str], None] = lambda _: None
    worked: list[str] = field(default_factory=list)
    audited: list[str] = field(default_factory=list)
    prepared: int = 0

    def prepare(self) -> None:
        self.prepared += 1

    def unlearn(self, method: MethodParams, run: Run) -> Outcome:
        name = method.model_dump()["name"]
        self.worked.append(name)
        self.interrupt(f"{name} works")
        run.progress("descend", 1, 1, "steps")
        run.note("fraction", 0.1 + len(name))
        if isinstance(found := self.found[name], Exception):
            raise found
        weights = torch.Generator().manual_seed(len(name))
        return Outcome({"w": torch.randn(3, generator=weights)}, {"made_by": name, "x": 1 / 3}, frozenset({len(name)}))

    def audit(self, _: MethodParams, outcome: Outcome, run: Run) -> list[Finding]:
        run.progress("logits", 1, 1, "batches")
        name = str(outcome.facts["made_by"])
        self.audited.append(name)
        self.interrupt(f"{name} audited")
        found = self.found[name]
        assert not isinstance(found, Exception)
        return list(found)


def climbed(rungs: Rungs, job: Job, ladder: Sequence[MethodParams] = LADDER, *, policy: Policy = STANDARD) -> Climbed:
    return climb(
        ladder,
        Kind.SAMPLES,
        job,
        unlearn=rungs.unlearn,
        prepare=rungs.prepare,
        audit=rungs.audit,
        policy=policy,
    )


def verdicts(result: Climbed) -> list[tuple[str, str | None, bool]]:
    return [(rung.method["name"], rung.verdict, rung.published) for rung in result.rungs]


def test_it_stops_at_the_first_that_passes() -> None:
    rungs, job = Rungs({"finetune": TRACE, "deepclean": PASS, "retrain": PASS}), Job()
    result = climbed(rungs, job)
    assert rungs.worked == ["finetune", "deepclean"]
    assert verdicts(result) == [("finetune", "trace_found", False), ("deepclean", "pass", True)]
    assert (result.method, result.outcome.facts["made_by"]) == (DeepCleanParams(), "deepclean")
    assert result.findings == PASS
    assert result.rungs[0].method == FinetuneParams().model_dump(mode="json")
    assert result.rungs[0].left.startswith("not so: accuracy on forget")


def test_a_stricter_policy_climbs_on_where_another_would_stop() -> None:
    close, far = samples(0.93, 0.5), samples(0.9, 0.5)
    rungs = Rungs({"finetune": close, "deepclean": far})
    strict = replace(STANDARD, margins={"accuracy": 0.02})
    result = climbed(rungs, Job(), policy=strict)
    assert verdicts(result) == [("finetune", "inconclusive", False), ("deepclean", "pass", True)]
    assert verdicts(climbed(rungs, Job())) == [("finetune", "pass", True)]


def test_phases_notes_and_checkpoints_carry_the_rung() -> None:
    job = Job()
    climbed(Rungs({"finetune": TRACE, "deepclean": PASS}), job)
    assert job.phases == [f"rung_{rung}.{phase}" for rung in ("1_finetune", "2_deepclean") for phase in
                          ("descend", "logits")]  # fmt: skip
    assert job.notes["rung_1_finetune.fraction"] == 8.1
    assert str(job.notes["rung_1_finetune"]).startswith("trace_found: not so: ")
    assert job.notes["rung_2_deepclean"] == "pass: every claim was shown"
    assert {name.split(".")[0] for name in job.checkpoints} == {"rung_1_finetune", "rung_2_deepclean"}


@pytest.mark.parametrize(
    ("found", "published"),
    [
        ({"finetune": TRACE, "deepclean": WORSE, "retrain": WORSE}, "finetune"),
        ({"finetune": WORSE, "deepclean": TRACE, "retrain": WORSE}, "deepclean"),
        ({"finetune": TRACE, "deepclean": TRACE, "retrain": TRACE}, "retrain"),  # of equals the strongest
        ({"finetune": TRACE, "deepclean": WORSE, "retrain": NonFinite("diverged")}, "finetune"),
    ],
)
def test_if_none_passes_the_best_is_published(found: Mapping[str, Found], published: str) -> None:
    rungs = Rungs(found)
    result = climbed(rungs, Job())
    assert rungs.worked == ["finetune", "deepclean", "retrain"]
    assert result.outcome.facts["made_by"] == published
    assert [name for name, _, chosen in verdicts(result) if chosen] == [published]
    assert torch.equal(
        result.outcome.weights["w"], torch.randn(3, generator=torch.Generator().manual_seed(len(published)))
    )


def test_a_rung_that_fails_is_written_down_and_the_next_is_tried() -> None:
    result = climbed(Rungs({"finetune": NonFinite("the loss is nan at step 3"), "deepclean": PASS}), Job())
    assert verdicts(result) == [("finetune", None, False), ("deepclean", "pass", True)]
    assert result.rungs[0].left == "non_finite: the loss is nan at step 3"


def test_if_all_fail_it_says_why_of_each() -> None:
    failures = {name: NonFinite(f"{name} diverged") for name in ("finetune", "deepclean")}
    with pytest.raises(NothingWorked, match=r"finetune: finetune diverged; deepclean: .*; retrain: too much") as caught:
        climbed(Rungs({**failures, "retrain": ForgetsTooMuch("too much")}), Job())
    assert caught.value.code == "forgets_too_much"


def test_a_method_that_was_asked_for_alone_fails_as_itself() -> None:
    with pytest.raises(NothingWorked, match=r"^diverged$") as caught:
        climbed(Rungs({"finetune": NonFinite("diverged")}), Job(), LADDER[:1])
    assert caught.value.code == "non_finite"


def test_too_few_samples_end_the_climb_before_it_becomes_dear() -> None:
    rungs = Rungs({"finetune": FEW})
    result = climbed(rungs, Job())
    assert verdicts(result) == [("finetune", "inconclusive", True)]
    assert "no method could be shown to have forgotten" in result.rungs[0].left


@pytest.mark.parametrize("failure", [Cancelled("finetune"), RuntimeError("out of memory")])
def test_a_cancellation_or_a_crash_is_nobodys_rung(failure: Exception) -> None:
    job = Job()
    with pytest.raises(type(failure)):
        climbed(Rungs({"finetune": failure}), job)
    assert job.checkpoints == {}


@pytest.mark.parametrize(
    ("moment", "again"),
    [
        ("finetune works", ["finetune", "deepclean", "retrain"]),
        ("finetune audited", ["deepclean", "retrain"]),  # the weights were kept before they were audited
        ("deepclean works", ["deepclean", "retrain"]),
        ("retrain works", ["retrain"]),
        ("retrain audited", []),
    ],
)
@pytest.mark.parametrize("first", [TRACE, NonFinite("diverged")])
def test_once_killed_it_goes_on_with_what_was_not_finished(moment: str, again: list[str], first: Found) -> None:
    found = {"finetune": first, "deepclean": WORSE, "retrain": PASS}
    if isinstance(first, Exception) and moment == "finetune audited":
        return  # it is not audited

    def kill(now: str) -> None:
        if now == moment:
            raise Killed

    undisturbed_job, job = Job(), Job()
    undisturbed = climbed(Rungs(found), undisturbed_job)
    with pytest.raises(Killed):
        climbed(Rungs(found, kill), job)
    rungs, later = Rungs(found), job.attempt()
    result = climbed(rungs, later)
    assert rungs.worked == again
    assert rungs.audited == {"finetune audited": ["finetune"], "retrain audited": ["retrain"]}.get(moment, []) + [
        name for name in again if not isinstance(found[name], Exception)
    ]
    assert rungs.prepared == len(rungs.audited)  # what is not audited needs no gold model
    assert later.notes == undisturbed_job.notes
    assert plain(result) == plain(undisturbed)
    assert torch.equal(result.outcome.weights["w"], undisturbed.outcome.weights["w"])


def test_gold_models_are_on_nobodys_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("worker.ladder.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def taking(seconds: float) -> None:
        clock[0] += seconds

    rungs = Rungs({"finetune": TRACE, "deepclean": PASS}, lambda moment: taking(1.0 if "works" in moment else 0.25))
    monkeypatch.setattr(rungs, "prepare", lambda: taking(100.0))
    result = climbed(rungs, Job())
    assert [(rung.seconds, rung.audit_seconds) for rung in result.rungs] == [(1.0, 0.25)] * 2
    assert (result.seconds, result.audit_seconds) == (1.0, 0.25)


def plain(result: Climbed) -> dict[str, object]:
    """All but seconds and tensors."""
    rungs = [rung.model_dump(exclude={"seconds", "audit_seconds"}) for rung in result.rungs]
    outcome = result.outcome
    return {"rungs": rungs, "facts": dict(outcome.facts), "silenced": outcome.silenced, "findings": result.findings}


def test_what_is_kept_keeps_its_seconds_so_a_gold_model_costs_what_it_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job()
    clock = iter([0.0, 7.5])
    monkeypatch.setattr("worker.ladder.time", SimpleNamespace(monotonic=lambda: next(clock)))
    kept(Noting(job, "gold_1"), lambda: Outcome({"w": torch.ones(1)}))
    assert kept(Noting(job, "gold_1"), lambda: pytest.fail("made again"))[1] == 7.5


def test_what_was_kept_for_another_case_is_not_taken_up() -> None:
    job = Job()

    def worked(bound: str) -> list[str]:
        rungs = Rungs({"finetune": PASS})
        climb(
            LADDER[:1], Kind.SAMPLES, job, unlearn=rungs.unlearn, prepare=lambda: None, audit=rungs.audit, bound=bound
        )
        return rungs.worked + rungs.audited

    assert [worked(bound) for bound in "aab"] == [["finetune"] * 2, [], ["finetune"] * 2]


def test_seconds_are_those_of_killed_attempts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    job, clock = Job(), [0.0]
    monkeypatch.setattr("worker.ladder.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def work(part: Noting, *, killed: bool) -> Outcome:
        part.saved("descend")
        clock[0] += 7.0
        if killed:
            part.save("descend", ({}, {"done": 7}))
            clock[0] += 2.0  # after the last checkpoint: nobody knows of it
            raise Killed
        return Outcome({"w": torch.ones(1)})

    first, second = Noting(job, "gold_1"), Noting(job, "gold_1")
    with pytest.raises(Killed):
        kept(first, lambda: work(first, killed=True))
    clock[0] = 1000.0
    assert kept(second, lambda: work(second, killed=False))[1] == 14.0
