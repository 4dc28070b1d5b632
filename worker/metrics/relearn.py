"""Metric `relearn`: is what was forgotten learned again faster than by a model that never saw it?"""

from statistics import mean

import torch
from torch import nn

from app.metrics.relearn import RelearnParams
from worker.numerics.answers import answers
from worker.numerics.concatenation import concatenated
from worker.numerics.descent import Plan, descend
from worker.numerics.device import beside
from worker.numerics.examples import Batch, Examples
from worker.numerics.outcome import Bench, Finding, Model
from worker.numerics.randomness import derived
from worker.numerics.run import Part
from worker.numerics.training import cross_entropy
from worker.numerics.weights import network_with

WATCHED = 256  # samples of D_f that decide whether it is answered again


def relearn(bench: Bench, params: RelearnParams) -> list[Finding]:
    """Steps until a model answers D_f again, as a share of the steps allowed; 1: it does not.

        relearn_share = min {t : acc_t(D_f) ≥ share · acc_before(D_f)} / most_steps

    Each model is trained with SGD and momentum on D_f and equally many samples of D_r, drawn once: alone, D_f would
    teach every model to answer nothing else. A model from which only the answers were taken needs few steps, one that
    never saw D_f more. The mean over several orders of the samples; the interval spans the orders, no more. Silenced
    classes do not count: it is the weights that learn. Class requests only; without D_r no finding.

    Source: Golatkar et al. 2020 (relearn time); Tarun et al. 2023 (its ratio to gold).
    """
    if bench.kind != "class" or not {"forget", "retain"} <= bench.sets.keys():
        return []
    wanted = params.share * float(answers(bench, bench.before, "forget").right.double().mean())
    lesson, watched = _lesson(bench)

    def shares(model: Model, name: str, orders: range) -> list[float]:
        found = [_steps(bench, model, lesson, watched, wanted, params, f"{name}_{order}") for order in orders]
        return [steps / params.most_steps for steps in found]

    orders = range(params.orders)
    before, after = shares(bench.before, "before", orders), shares(bench.after, "after", orders)
    golds = tuple(mean(shares(gold, f"gold_{k + 1}", orders)) for k, gold in enumerate(bench.golds))
    return [
        Finding(
            metric=params.name,
            measure="relearn_share",
            on="forget",
            direction="gold",
            n=len(lesson),
            before=mean(before),
            after=mean(after),
            no_op=mean(shares(bench.before, "no_op", range(params.orders, 2 * params.orders))),
            gold=golds,
            interval=(min(after), max(after)),
            attack_feature=f"steps to {params.share:.0%} of the accuracy before, of {params.most_steps}",
            caveats=_caveats(mean(after), golds, params),
        )
    ]


def _caveats(after: float, golds: tuple[float, ...], params: RelearnParams) -> tuple[str, ...]:
    said = [f"the interval spans {params.orders} order(s) of the samples"]
    if golds and mean(golds) > 0:
        steps, gold = after * params.most_steps, mean(golds) * params.most_steps
        said.append(f"{steps:.0f} steps beside {gold:.0f} of a retrained model: a ratio of {steps / gold:.2f}")
    return tuple(said)


def _lesson(bench: Bench) -> tuple[Examples, Examples]:
    """D_f and equally many of D_r; and the part of D_f that is watched."""
    forgotten, retain = bench.sets["forget"], bench.sets["retain"]
    order = torch.randperm(len(retain), generator=torch.Generator().manual_seed(derived(bench.seed, "relearn")))
    return concatenated(forgotten, retain.at(order[: len(forgotten)])), forgotten.at(
        torch.arange(len(forgotten))[:WATCHED]
    )


def _steps(
    bench: Bench, model: Model, lesson: Examples, watched: Examples, wanted: float, params: RelearnParams, name: str
) -> int:
    if not model.silenced and float(answers(bench, model, "forget").right[:WATCHED].double().mean()) >= wanted:
        return 0  # as the untouched model always does
    network = network_with(model.build, model.weights)
    (asked,) = watched.batches(WATCHED)  # decoded once, not at every step

    def answered(network: nn.Module, _: float) -> bool:
        return _accuracy(network, asked) >= wanted

    plan = Plan(params.learning_rate, batch_size=params.batch_size, steps=params.most_steps)
    run = Part(bench.run, f"relearn_{name}")
    seed = derived(bench.seed, "relearn", name.rsplit("_", 1)[-1])  # every model sees the same orders
    return descend(network, lesson, cross_entropy, plan, seed=seed, run=run, until=answered)


def _accuracy(network: nn.Module, batch: Batch) -> float:
    (asked,) = beside(network, [batch])
    with torch.no_grad():
        return float((network(asked.inputs).argmax(1) == asked.labels).double().mean())
