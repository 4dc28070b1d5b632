"""The search itself: Optuna proposes, a rehearsal scores, and every trial follows from the seed and those before it.

No sampler lives from one trial to the next. Each trial gets a fresh study that is told of all earlier trials, and a
sampler seeded by the trial's number: so a search that goes on from stored trials is the search that was never stopped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from pydantic import ValidationError

from app.core.params import MethodParams
from app.core.spaces import AnyRange, FloatRange, IntRange, Space, Value
from app.domain.objective import Direction
from worker.numerics.errors import NumericsError
from worker.numerics.randomness import derived
from worker.rehearsal import Scored

CANDIDATE = "candidate"


@dataclass(frozen=True)
class Candidate:
    """A method as it is asked for, and where to look for better parameters."""

    method: MethodParams
    space: Space


@dataclass(frozen=True)
class Trial:
    """One that is over. `searched` holds the values by name, and nothing for the method as it was asked for."""

    number: int  # from 0
    candidate: int  # which one, from 0
    method: Mapping[str, Any]  # the whole document, ready for a request
    searched: Mapping[str, Value] | None
    value: float | None  # None: failed
    parts: Sequence[Mapping[str, float]] = ()  # what was measured on each validation part
    code: str | None = None
    detail: str | None = None
    seconds: float = field(default=0.0, compare=False)


Evaluate = Callable[[MethodParams, int], Sequence[Scored]]
"""A method and the trial's number to what it is worth on each validation part.

Raises NumericsError where the method fails.
"""


def search(
    candidates: Sequence[Candidate],
    evaluate: Evaluate,
    *,
    total: int,
    direction: Direction,
    seed: int,
    earlier: Sequence[Trial] = (),
) -> Iterator[Trial]:
    """The trials that are still to be made, each as soon as it is over.

    The first trials are the candidates as they were asked for: what is found must be better than that. The others are
    proposed by a tree-structured Parzen estimator. A trial in which the method fails, by divergence for instance, is a
    failed trial; the search goes on.

    Args:
        candidates: at least one.
        evaluate: scores a method.
        total: trials in all.
        direction: which values are better.
        seed: of the proposals.
        earlier: trials 0, 1, …, of an attempt that ended before its time.

    Raises:
        Cancelled: by what is evaluated.
    """
    trials = list(earlier)
    for number in range(len(trials), total):
        if number < len(candidates):
            trial = _tried(number, number, candidates[number], None, evaluate)
        else:
            chosen, searched = _proposed(candidates, trials, number, direction, seed)
            trial = _tried(number, chosen, candidates[chosen], searched, evaluate)
        trials.append(trial)
        yield trial


def best(trials: Sequence[Trial], direction: Direction) -> Trial | None:
    """The best trial that did not fail, the first of equals; None if all failed."""
    sign = 1 if direction == "minimize" else -1
    over = [(sign * trial.value, trial.number, trial) for trial in trials if trial.value is not None]
    return min(over)[2] if over else None


def _tried(
    number: int, chosen: int, candidate: Candidate, searched: Mapping[str, Value] | None, evaluate: Evaluate
) -> Trial:
    wish = {**candidate.method.model_dump(mode="json"), **(searched or {})}
    started = monotonic()
    try:
        method = type(candidate.method).model_validate(wish)
        wish = method.model_dump(mode="json")
        scored = evaluate(method, number)
    except ValidationError as error:
        reason = ("invalid_parameters", "; ".join(part["msg"] for part in error.errors()))
    except NumericsError as error:
        reason = (error.code, str(error))
    else:
        value = sum(score.value for score in scored) / len(scored)
        parts = tuple(dict(score.measures) for score in scored)
        return Trial(number, chosen, wish, searched, value, parts, seconds=monotonic() - started)
    return Trial(number, chosen, wish, searched, None, code=reason[0], detail=reason[1], seconds=monotonic() - started)


def _proposed(
    candidates: Sequence[Candidate], trials: Sequence[Trial], number: int, direction: Direction, seed: int
) -> tuple[int, dict[str, Value]]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = TPESampler(seed=derived(seed, "trial", number) % 2**32)
    study = optuna.create_study(sampler=sampler, direction=direction)
    study.add_trials([_frozen(candidates, trial) for trial in trials if trial.searched is not None])
    asked = study.ask()
    chosen = asked.suggest_categorical(CANDIDATE, list(range(len(candidates))))
    space = candidates[chosen].space
    return chosen, {name: _suggested(asked, _key(chosen, name), space[name]) for name in sorted(space)}


def _suggested(trial: optuna.Trial, key: str, asked: AnyRange) -> Value:
    if isinstance(asked, FloatRange):
        return trial.suggest_float(key, asked.low, asked.high, log=asked.log)
    if isinstance(asked, IntRange):
        return trial.suggest_int(key, asked.low, asked.high, log=asked.log)
    return trial.suggest_categorical(key, asked.values)


def _frozen(candidates: Sequence[Candidate], trial: Trial) -> FrozenTrial:
    space, searched = candidates[trial.candidate].space, trial.searched or {}
    choice = CategoricalDistribution(list(range(len(candidates))))
    return optuna.trial.create_trial(
        state=TrialState.FAIL if trial.value is None else TrialState.COMPLETE,
        value=trial.value,
        params={CANDIDATE: trial.candidate, **{_key(trial.candidate, name): v for name, v in searched.items()}},
        distributions={
            CANDIDATE: choice,
            **{_key(trial.candidate, name): _distribution(space[name]) for name in searched},
        },
    )


def _key(candidate: int, name: str) -> str:
    return f"{candidate}.{name}"


def _distribution(asked: AnyRange) -> BaseDistribution:
    if isinstance(asked, FloatRange):
        return FloatDistribution(asked.low, asked.high, log=asked.log)
    if isinstance(asked, IntRange):
        return IntDistribution(asked.low, asked.high, log=asked.log)
    return CategoricalDistribution(asked.values)
