"""Gold models: what an audit compares with, registered, kept by an earlier audit, or trained for this one."""

import platform
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from statistics import mean

import torch

from app.core.db import reading
from app.core.errors import Invalid
from app.domain.report import Environment
from app.methods.retrain import RetrainParams
from app.models import golds as kept_golds
from app.tables import GoldModel
from worker import artifacts, registry
from worker.comparison import check_independent
from worker.ladder import Noting, kept
from worker.loading import Case, answering
from worker.numerics.device import device_name
from worker.numerics.outcome import Model as Answering
from worker.numerics.problem import Problem
from worker.numerics.run import Run
from worker.numerics.weights import Weights


@dataclass(frozen=True)
class Gold:
    """One retraining."""

    digest: str
    weights: Weights
    seconds: float
    fresh: bool  # trained by this job, not yet kept


@dataclass(frozen=True)
class Golds:
    """All of an audit."""

    models: tuple[Answering, ...]
    retrained: tuple[Gold, ...] = ()

    @property
    def seconds(self) -> float | None:
        """Of one retraining, whenever it was; None without one."""
        return mean(gold.seconds for gold in self.retrained) if self.retrained else None

    @property
    def reused(self) -> int:
        """How many an earlier audit had trained."""
        return sum(not gold.fresh for gold in self.retrained)


def golds_of(case: Case, problem: Problem, run: Run) -> Golds:
    """Registered gold versions, or the recipe on D_r once per seed, or none.

    A retraining that an earlier audit kept is taken, bit for bit what it would be anew, if its file still is what was
    written.
    """
    if case.request.audit["gold"] != "retrain":
        registered = tuple(answering(gold, problem.build) for gold in case.golds)
        check_independent(registered, Answering(problem.build, problem.old))
        return Golds(registered)
    numbers = range(1, case.request.audit["gold_seeds"] + 1)
    retrained = tuple(_retrained(case, replace(problem, seed=problem.seed + n), n, run) for n in numbers)
    return Golds(tuple(Answering(problem.build, gold.weights) for gold in retrained), retrained)


def environment() -> Environment:
    """What the job runs on."""
    return Environment(
        unlearnd=version_of("unlearnd"),
        python=platform.python_version(),
        torch=torch.__version__,
        device=device_name(),
        threads=torch.get_num_threads(),
    )


def _retrained(case: Case, problem: Problem, number: int, run: Run) -> Gold:
    digest = _digest(case, problem)
    with reading() as session:
        row = kept_golds.find(session, case.model.id, digest)
    stored = None if row is None else _stored(row, problem, number, run)
    if stored is not None:
        return stored
    part = Noting(run, f"gold_{number}", case.digest)
    outcome, seconds = kept(part, partial(registry.unlearn, replace(problem, run=part), RetrainParams()))
    return Gold(digest, outcome.weights, seconds, fresh=True)


def _stored(row: GoldModel, problem: Problem, number: int, run: Run) -> Gold | None:
    path = Path(row.weights_path)
    try:
        weights = artifacts.read_weights(path, sha256=row.weights_sha256, skeleton=problem.build(0))
    except (Invalid, FileNotFoundError) as error:
        why = error.detail if isinstance(error, Invalid) else "the file is missing"
        run.note(f"gold_{number}_not_reused", f"{why}: trained anew")
        return None
    return Gold(row.digest, weights, row.seconds, fresh=False)


def _digest(case: Case, problem: Problem) -> str:
    """What the weights depend on: not the deployed version, nor the method that is audited."""
    data, target = case.data, case.request.target
    train = data.index["train"]
    retained = [] if problem.retain is None else problem.retain.positions.tolist()
    cleaned = None  # D_f,clean is trained on as well, where only something in D_f is forgotten
    if problem.pattern != "A":
        cleaned = {
            "positions": sorted(case.forget),
            "target": {name: target.get(name) for name in ("kind", "transform", "mask")},
            "pairs": None if case.pairs is None else case.pairs.digest,
        }
    return artifacts.digest_of(
        {
            "architecture": case.model.architecture,
            "recipe": case.model.recipe,
            "data": data.digest,  # of the files and the preprocessing
            "left_out": data.index["positions"][train & ~data.among(retained)].tolist(),
            "cleaned": cleaned,
            "seed": problem.seed,
            "environment": environment().model_dump(),
        }
    )
