"""The stories of the jobs: load, do, measure, store. What is published goes through one fenced transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial, reduce
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import NamedTuple, Protocol

import torch
from sqlalchemy.orm import Session
from torch import Tensor

from app.audit_reports import service as audit_reports
from app.audit_reports import stand_alone
from app.audit_reports.files import figures_folder
from app.core.db import reading, transaction
from app.core.errors import Invalid
from app.core.ids import new_id
from app.core.params import MethodParams
from app.core.settings import get_settings
from app.datasets import service as datasets
from app.domain.drift import FROM_SCRATCH, Drift
from app.domain.findings import Finding as Judged
from app.domain.lifecycle import JobKind, RequestStatus
from app.domain.policy import policy_of
from app.domain.report import Cost, Measured, NotMeasured, Own, Rung
from app.forget_requests import service as forget_requests
from app.jobs import queries
from app.jobs import service as jobs
from app.methods.amnesiac import AmnesiacParams
from app.models import golds as kept_golds
from app.models import service as models
from app.purges.queries import is_outdated
from app.tables import AuditReport, Dataset, Job, Model, ModelVersion
from worker import artifacts, registry
from worker.again import again
from worker.comparison import check_independent, comparison_of, not_measured
from worker.datasets import validate
from worker.figures.draw import draw
from worker.golds import Gold, Golds, environment, golds_of
from worker.ladder import Climbed, climb, name_of, timed
from worker.loading import (
    Case,
    Data,
    build_of,
    case_of,
    deltas_of,
    initial_of,
    manifest_of,
    problem_of,
    sets_of,
    weights_of,
)
from worker.numerics.answers import answers
from worker.numerics.deltas import NOBODY, Deltas, check_deltas
from worker.numerics.errors import EmptyExamples
from worker.numerics.fisher import Fisher, fisher_diagonal
from worker.numerics.outcome import Bench, Finding, Outcome
from worker.numerics.outcome import Model as Answering
from worker.numerics.problem import Problem, required
from worker.numerics.run import Fact, Run
from worker.numerics.weights import Build, Weights, network_with, relative_change
from worker.reported import reported
from worker.search import search


class Attempt(Run, Protocol):
    """One attempt at a job: a run with a folder of its own, and the notes taken so far."""

    folder: Path
    notes: Mapping[str, Fact]


def validate_dataset(job_id: str, fence: int, run: Attempt) -> None:
    """Read the manifest once, check it, write the index of its ids; the data set becomes ready."""
    with reading() as session:
        dataset = session.get_one(Dataset, session.get_one(Job, job_id).subject_id)
    index = run.folder / "index.sqlite"
    facts = validate(manifest_of(dataset), classes=dataset.classes, index_path=index, run=run)
    with _publishing(job_id, fence, run) as session:
        datasets.settle(
            session,
            dataset.id,
            sha256=facts.sha256,
            rows=facts.rows,
            input_kind=facts.input_kind,
            input_shape=facts.input_shape,
            counts=facts.counts,
            index_path=_move(index, get_settings().storage / "datasets" / dataset.id / "index.sqlite"),
        )


def validate_version(job_id: str, fence: int, run: Attempt) -> None:
    """Compare the uploaded weights with the architecture; the version becomes ready."""
    with reading() as session:
        version = session.get_one(ModelVersion, session.get_one(Job, job_id).subject_id)
        model = session.get_one(Model, version.model_id)
        data = Data(session.get_one(Dataset, model.dataset_id), model)
    build = build_of(model)
    weights, initial = weights_of(version, build), initial_of(model, version, build)
    deltas = deltas_of(version, data)
    if deltas is not None:
        _check_deltas(deltas, data, required(initial, "the initial weights"), weights, build)
    with _publishing(job_id, fence, run) as session:
        models.settle_version(session, version.id)


def _check_deltas(deltas: Deltas, data: Data, initial: Weights, weights: Weights, build: Build) -> None:
    seen = deltas.positions[deltas.positions != NOBODY]
    if not torch.isin(seen, data.index["positions"][data.index["train"]]).all():
        raise Invalid("the deltas name positions that hold no training sample", code="deltas_differ")
    check_deltas(deltas, initial, weights, build(0))


def compute_fisher(job_id: str, fence: int, run: Attempt) -> None:
    """The Fisher diagonal of a version over its training data, without what has been forgotten.

    A shard leaves its share of the sums to the job that waits for all shards; that one adds them up.
    """
    with reading() as session:
        job = session.get_one(Job, job_id)
        version = session.get_one(ModelVersion, job.subject_id)
        model = session.get_one(Model, version.model_id)
        data = Data(session.get_one(Dataset, model.dataset_id), model)
        gone = forget_requests.excluded_positions(session, data.dataset.id)
        shards = queries.shards_of(session, job_id)
    share = _added_up(shards, run) if shards else _fisher_share(job, version, data, gone, run)
    if not share.fisher.count and job.whole_id is None:
        raise EmptyExamples("no training sample is left: the data set has none, or all are forgotten")
    path = run.folder / "fisher.safetensors"
    sha256 = artifacts.write_fisher(path, share.fisher, excluded=share.excluded)
    with _publishing(job_id, fence, run) as session:
        if job.whole_id is not None:
            _move(path, _left_by(job))
            jobs.hand_in(session, job_id, sha256)
            return
        stored = _move(path, _folder(version) / f"fisher-{job_id}.safetensors")
        models.store_fisher(session, version.id, path=stored, sha256=sha256, count=share.fisher.count)


def unlearn(job_id: str, fence: int, run: Attempt) -> None:
    """Carry out a forget request, or several as one; audit the result; publish it, with a report for each request."""
    with reading() as session:
        case = case_of(session, session.get_one(Job, job_id))
    over = forget_requests.budget_spent(case.model, case.base)
    if over is not None:
        run.note("drift_budget_spent", over)
    problem = problem_of(case, run)
    golds = cache(partial(golds_of, case, problem, run))  # the first audit makes them, and references; the others share
    trained: dict[str, tuple[Answering, ...]] = {}

    def carry_out(method: MethodParams, part: Run) -> Outcome:
        _requests_are(job_id, fence, RequestStatus.RUNNING)
        return registry.unlearn(replace(problem, run=part), method)

    def prepare() -> None:
        _requests_are(job_id, fence, RequestStatus.VERIFYING)
        golds()

    def audit(method: MethodParams, outcome: Outcome, part: Run) -> list[Judged]:
        bench = bench_of(case, problem, outcome, golds().models, part)
        bench = replace(bench, trained=trained, again=again(case, problem, method, run))
        return [reported(finding, seed=case.request.seed) for finding in _audit(case, bench)]

    policy = policy_of(case.request.policy).judging
    climbed = climb(
        case.ladder,
        case.kind,
        run,
        unlearn=carry_out,
        prepare=prepare,
        audit=audit,
        policy=policy,
        bound=case.digest,
    )
    if over is not None and name_of(climbed.method) != FROM_SCRATCH:
        run.note("drift_warning", f"the drift budget of the model is spent ({over}): it should be retrained")
    prepare()
    bench = replace(bench_of(case, problem, climbed.outcome, golds().models, run), trained=trained)
    figures, drawing_seconds = timed(partial(draw, bench, climbed.findings, run.folder / "figures"))
    measured = Measured(
        findings=climbed.findings,
        sizes={name: len(examples) for name, examples in sets_of(case, problem).items()},
        method_facts={**climbed.outcome.facts, **run.notes},
        cost=Cost(
            unlearning_seconds=climbed.seconds,
            gold_seconds=golds().seconds,
            golds_reused=golds().reused,
            audit_seconds=climbed.audit_seconds,
            drawing_seconds=drawing_seconds,
        ),
        environment=environment(),
        rungs=climbed.rungs,
        figures=figures,
        not_measured=_unmeasured(run.notes, climbed.rungs),
    )
    fresh = _written(golds(), run)
    _publish_version(job_id, fence, run, case, problem, climbed, measured, _own(case, bench), fresh)


def audit_versions(job_id: str, fence: int, run: Attempt) -> None:
    """A stand-alone audit: measure two registered versions, publish the report."""
    with reading() as session:
        row = session.get_one(AuditReport, session.get_one(Job, job_id).subject_id)
        case, after = comparison_of(session, row)
    problem = problem_of(case, run)
    golds = golds_of(case, problem, run)
    outcome = Outcome(weights_of(after, problem.build), {}, frozenset(after.silenced_classes))
    bench = bench_of(case, problem, outcome, golds.models, run)
    check_independent(bench.golds, bench.before, bench.after)
    findings, audit_seconds = timed(partial(_audit, case, bench))
    judged = [reported(finding, seed=case.request.seed) for finding in findings]
    figures, drawing_seconds = timed(partial(draw, bench, judged, run.folder / "figures"))
    measured = Measured(
        findings=judged,
        sizes={name: len(examples) for name, examples in bench.sets.items()},
        method_facts=dict(run.notes),
        cost=Cost(
            unlearning_seconds=None,
            gold_seconds=golds.seconds,
            golds_reused=golds.reused,
            audit_seconds=audit_seconds,
            drawing_seconds=drawing_seconds,
        ),
        environment=environment(),
        figures=figures,
        not_measured=not_measured(
            bench, [str(metric["name"]) for metric in case.request.audit["metrics"]], {f.metric for f in findings}
        ),
    )
    fresh = _written(golds, run)
    with _publishing(job_id, fence, run) as session:
        _keep(session, job_id, case.model.id, fresh)
        _move(run.folder / "figures", figures_folder(row.id))
        stand_alone.complete(session, session.get_one(AuditReport, row.id), measured)


STORIES: Mapping[JobKind, Callable[[str, int, Attempt], None]] = {
    JobKind.DATASET_VALIDATION: validate_dataset,
    JobKind.VERSION_VALIDATION: validate_version,
    JobKind.FISHER: compute_fisher,
    JobKind.UNLEARNING: unlearn,
    JobKind.SEARCH: search,
    JobKind.AUDIT: audit_versions,
}


class _Share(NamedTuple):
    """Sums over the training samples in some range of positions, and which of its positions they leave out."""

    fisher: Fisher
    excluded: Tensor


def _fisher_share(job: Job, version: ModelVersion, data: Data, gone: list[int], run: Run) -> _Share:
    """The job's share, or everything if it has no shards."""
    data.check()
    share = data.shard(job.shard or 1, job.shards or 1)
    excluded = share & data.among(gone)
    examples = data.select(share & data.index["train"] & ~excluded)
    build = build_of(data.model)
    network = network_with(build, weights_of(version, build))
    if examples is None:
        fisher = Fisher({name: torch.zeros(p.shape, dtype=torch.float64) for name, p in network.named_parameters()}, 0)
    else:
        fisher = fisher_diagonal(network, examples, run=run)
    bound = replace(fisher, weights_sha256=version.weights_sha256, data_sha256=data.digest)
    return _Share(bound, data.index["positions"][excluded])


def _added_up(shards: Sequence[Job], run: Run) -> _Share:
    """What the shards left, in their order; each knows what was forgotten in its own range when it ran."""

    def plus(total: _Share, share: _Share) -> _Share:
        return _Share(total.fisher.plus(share.fisher), torch.cat((total.excluded, share.excluded)))

    return reduce(plus, (_handed_in(shard, run) for shard in shards))


def _handed_in(shard: Job, run: Run) -> _Share:
    run.progress("sum", shard.shard or 0, shard.shards or 0, "shards")
    path = _left_by(shard)
    if not path.exists():
        raise Invalid(f"what shard {shard.shard} left is gone: ask for the diagonal again", code="shard_missing")
    return _Share(*artifacts.read_fisher(path, sha256=shard.shard_sha256 or ""))


def _left_by(shard: Job) -> Path:
    # In the folder of the whole, which is removed when the whole is over, whatever became of it.
    return get_settings().runs / str(shard.whole_id) / "shards" / f"{shard.shard}.safetensors"


def _requests_are(job_id: str, fence: int, status: RequestStatus) -> None:
    """Say how far the requests are, if this is still the newest attempt; each rung is run, then verified."""
    with transaction() as session:
        jobs.fenced(session, job_id, fence)
        forget_requests.reach(session, forget_requests.batch(session, job_id), status)


@contextmanager
def _publishing(job_id: str, fence: int, run: Attempt) -> Iterator[Session]:
    """One transaction that only the newest claim may finish; the job succeeds with what is published in it."""
    run.progress("publish", 1, 1, "steps")  # the last moment for a cancellation
    with transaction() as session:
        job = jobs.fenced(session, job_id, fence)
        yield session
        jobs.succeed(session, job)


def _own(case: Case, bench: Bench) -> dict[str, Own]:
    """Of several requests: how often the models are right about the samples of each. They answer once, on all."""
    if not case.shares:
        return {}
    asked = (bench.before, bench.after, *bench.golds)
    before, after, *golds = (answers(bench, model, "forget").right.double() for model in asked)
    places = {position: place for place, position in enumerate(bench.sets["forget"].positions.tolist())}

    def own(share: list[int]) -> Own:
        rows = torch.tensor([places[position] for position in share])
        right = [float(answer[rows].mean()) for answer in (before, after, *golds)]
        gold = mean(right[2:]) if golds else None
        return Own(samples=len(share), before=right[0], after=right[1], gold=gold)

    return {request_id: own(share) for request_id, share in case.shares.items()}


def _unmeasured(notes: Mapping[str, Fact], rungs: Sequence[Rung]) -> list[NotMeasured]:
    """What metrics said of the published rung instead of a number."""
    number, rung = next((number, rung) for number, rung in enumerate(rungs, 1) if rung.published)
    start, end = f"rung_{number}_{rung.method['name']}.", ".not_measured"
    return [
        NotMeasured(metric=key.removeprefix(start).removesuffix(end), reason=str(reason))
        for key, reason in notes.items()
        if key.startswith(start) and key.endswith(end)
    ]


def _drift(case: Case, problem: Problem, climbed: Climbed) -> Drift:
    """How far the line has drifted with this job."""
    on_retain = [f for f in climbed.findings if (f.measure, f.on) == ("accuracy", "retain")]
    lost = on_retain[0].before - on_retain[0].after if on_retain else 0.0
    before = models.drift_of(case.base)
    return before.after(name_of(climbed.method), relative_change(problem.old, climbed.outcome.weights), lost)


def _taken(problem: Problem, method: MethodParams) -> list[int] | None:
    """The recorded steps that the new weights lack; None if they are no sum of steps any more."""
    if not isinstance(method, AmnesiacParams) or problem.deltas is None or problem.forget is None:
        return None
    return sorted(problem.deltas.taken | set(problem.deltas.seeing(problem.forget.positions)))


def _publish_version(
    job_id: str,
    fence: int,
    run: Attempt,
    case: Case,
    problem: Problem,
    climbed: Climbed,
    measured: Measured,
    own: Mapping[str, Own],
    fresh: Sequence["_Written"],
) -> None:
    version_id, outcome = new_id("mv"), climbed.outcome
    drift, taken = _drift(case, problem, climbed), _taken(problem, climbed.method)
    path = run.folder / "weights.safetensors"
    sha256 = artifacts.write(path, outcome.weights)
    with _publishing(job_id, fence, run) as session:
        _keep(session, job_id, case.model.id, fresh)
        requests = forget_requests.batch(session, job_id)
        held = forget_requests.gate(session, requests[0])
        base = session.get_one(ModelVersion, case.base.id)
        target = _folder(base).with_name(version_id) / "weights.safetensors"
        result = models.publish_version(
            session,
            parent=base,
            version_id=version_id,
            job_id=job_id,
            weights_path=_move(path, target),
            weights_sha256=sha256,
            weights_bytes=target.stat().st_size,
            silenced_classes=sorted(outcome.silenced | set(base.silenced_classes)),
            held=held,
            drift=drift,
            deltas_taken=taken,
        )
        forget_requests.settle_method(requests, measured.rungs)
        report_ids = [new_id("ar") for _ in requests]
        _move(run.folder / "figures", figures_folder(report_ids[0]))
        audit_reports.assemble(
            session,
            requests,
            measured,
            result=result,
            report_ids=report_ids,
            own=[own[request.id] for request in requests] if own else (),
        )
        forget_requests.complete(session, requests, version_id=result.id, reports=report_ids)


class _Written(NamedTuple):
    """A gold model that is new, in the attempt's folder."""

    gold: Gold
    path: Path
    sha256: str


def _written(golds: Golds, run: Attempt) -> list[_Written]:
    fresh = [(gold, run.folder / f"gold-{gold.digest}.safetensors") for gold in golds.retrained if gold.fresh]
    return [_Written(gold, path, artifacts.write(path, gold.weights)) for gold, path in fresh]


def _keep(session: Session, job_id: str, model_id: str, fresh: Sequence[_Written]) -> None:
    """For later audits of the model: unless something was forgotten meanwhile that these have seen."""
    if fresh and is_outdated(session, session.get_one(Model, model_id), job_id):
        return
    folder = get_settings().storage / "models" / model_id / "golds"
    for gold, path, sha256 in fresh:
        target = folder / f"{gold.digest}.safetensors"
        kept_golds.keep(
            session,
            model_id,
            gold.digest,
            job_id=job_id,
            weights_path=_move(path, target),
            weights_sha256=sha256,
            weights_bytes=target.stat().st_size,
            seconds=gold.seconds,
        )


def bench_of(case: Case, problem: Problem, outcome: Outcome, golds: tuple[Answering, ...], run: Run) -> Bench:
    """What a metric measures on."""
    before = frozenset(case.base.silenced_classes)
    return Bench(
        before=Answering(problem.build, problem.old, before),
        after=Answering(problem.build, outcome.weights, before | outcome.silenced),
        golds=golds,
        sets=sets_of(case, problem),
        kind=case.kind.value,
        classes=problem.classes,
        seed=problem.seed,
        run=run,
        recipe=problem.recipe,
        initial=problem.initial,
    )


def _audit(case: Case, bench: Bench) -> list[Finding]:
    return list(chain.from_iterable(registry.measure(bench, metric) for metric in case.metrics))


def _folder(version: ModelVersion) -> Path:
    return get_settings().storage / "models" / version.model_id / version.id


def _move(source: Path, target: Path) -> str:
    """Out of the attempt's folder into storage; a file that no committed row names is never read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    return str(target)
