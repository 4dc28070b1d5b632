"""A round of unlearning: a network that remembers D, gold models that never saw D_f, and a method judged by them."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter, process_time
from typing import Any, NamedTuple

import torch

from app.core.params import MethodParams
from benchmarks.arena_data import Data, Ground
from benchmarks.standing import Sets, Standing, against, standing
from benchmarks.store import Store, Training
from worker import registry
from worker.numerics.descent import Plan, descend
from worker.numerics.device import device
from worker.numerics.errors import NumericsError
from worker.numerics.examples import Examples
from worker.numerics.outcome import Model, Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived
from worker.numerics.training import cross_entropy
from worker.numerics.weights import weights_of

SCENARIOS = ("class", "random")
SHARE = 0.1  # of the training images, forgotten at random
GOLDS = 2
TIMED_STEPS = 40
Method = Callable[[Problem], Outcome]
Row = dict[str, Any]


class Round(NamedTuple):
    """One pretrained network that is asked to forget one D_f."""

    problem: Problem
    golds: tuple[Standing, ...]
    sets: Sets
    total_steps: int  # of a gold training


def round_of(ground: Ground, data: Data, store: Store, scenario: str, seed: int, *, held_out: Examples) -> Round:
    """Another seed is another pretrained network and another D_f, with golds of their own.

    Args:
        ground: network and recipe.
        data: whose training images are D.
        store: where trainings are kept.
        scenario: `class`: all samples of class seed mod 10; `random`: a tenth of D.
        seed: of pretraining, draw and golds.
        held_out: the half of the test set to measure on.
    """
    build = registry.builder(ground.network)
    pretraining = training(ground, data.train, seed)
    old = store.trained(pretraining)
    asked, forgotten = drawn(data.train, scenario, seed)
    forget, retain = data.train.where(asked), data.train.where(~asked)
    problem = Problem(
        build=build,
        old=old,
        classes=ground.network.classes,
        pattern="A",
        seed=derived(seed, "unlearn"),
        forget=forget,
        retain=retain,
        held_out=data.validation,
        fisher=store.fisher(pretraining, old),
        initial=weights_of(build(seed)),
        recipe=ground.recipe,
        forgotten_class=forgotten,
    )
    sets = Sets.of(forget, retain, held_out, forgotten)
    seeds = [derived(seed, "gold", number) for number in range(GOLDS)]
    golds = (Model(build, store.trained(training(ground, retain, s))) for s in seeds)
    steps = ground.recipe.epochs * -(-len(retain) // ground.recipe.batch_size)
    return Round(problem, tuple(standing(gold, sets, seed=seed) for gold in golds), sets, steps)


def training(ground: Ground, examples: Examples, seed: int) -> Training:
    """The ground's recipe on some of its images."""
    return Training(ground.network, ground.recipe, examples, (ground.folder, ground.normalisation), seed)


def drawn(train: Examples, scenario: str, seed: int) -> tuple[torch.Tensor, int | None]:
    """Which samples are forgotten, bool `(N,)`; the class, if it is one."""
    if scenario == "class":
        return train.labels == seed % 10, seed % 10
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(derived(seed, "draw")))
    asked = torch.zeros(len(train), dtype=torch.bool)
    asked[order[: round(SHARE * len(train))]] = True
    return asked, None


def played(played_round: Round, method: Method) -> Row:
    """What a method leaves, beside gold, and what it costs; a failure is a row that says so.

    Seconds are those of `clock`. The Fisher diagonal of D_f is in them; that of D, which is stored at registration, is
    not. What gold costs is measured right before: `TIMED_STEPS` of its steps, times how many it takes.
    """
    gold_seconds = seconds_of_gold(played_round)
    problem = replace(played_round.problem, run=type(played_round.problem.run)())
    started = clock()
    try:
        outcome = method(problem)
    except NumericsError as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    seconds = clock() - started
    model = Model(problem.build, outcome.weights, outcome.silenced)
    reached = standing(model, played_round.sets, seed=played_round.problem.seed)
    if method is no_op:
        return against(reached, played_round.golds)
    costs = {"seconds": seconds, "gold_seconds": gold_seconds, "speedup_over_gold": gold_seconds / seconds}
    facts = {name: outcome.facts[name] for name in ("selected_fraction", "gamma") if name in outcome.facts}
    return {**against(reached, played_round.golds), **costs, **facts}


def gold_row(played_round: Round) -> Row:
    """The last gold model judged by the other golds: what chance alone makes of every figure."""
    *others, last = played_round.golds
    return against(last, others)


def seconds_of_gold(played_round: Round) -> float:
    """What retraining costs at this moment, from its first steps."""
    problem = played_round.problem
    network = problem.build(0)
    plan = replace(Plan.of(required(problem.recipe, "the recipe")), steps=min(TIMED_STEPS, played_round.total_steps))
    started = clock()
    steps = descend(network, required(problem.retain, "D_r"), cross_entropy, plan, seed=0, train_mode=True)
    return (clock() - started) / steps * played_round.total_steps


def clock() -> float:
    """Processor seconds of this process, which runs one thread, so that others hardly show in them; on a GPU the time.

    Both a descent and a method have come home when they end: nothing of them is left in the GPU's queue.
    """
    return process_time() if device().type == "cpu" else perf_counter()


def no_op(problem: Problem) -> Outcome:
    """The control to which nothing is done."""
    return Outcome(problem.old)


def by(params: MethodParams) -> Method:
    """The catalogue's method of these parameters."""
    return lambda problem: registry.unlearn(problem, params)
