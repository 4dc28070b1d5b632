"""Method `consistency`: answer an input with the information as the old network answered it without."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from app.core.params import Kind
from app.methods.consistency import ConsistencyParams
from worker.numerics.descent import Anchor, Plan, descend
from worker.numerics.device import at_work, place_of
from worker.numerics.errors import EmptyExamples, Misfit, NothingToDo
from worker.numerics.evaluation import logits
from worker.numerics.examples import Batch, Change, Examples, Normalisation
from worker.numerics.features import feature_distance, with_features
from worker.numerics.guards import changed
from worker.numerics.outcome import Model, Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived, drawn_from
from worker.numerics.refit import MOST_FEATURES, first_linear, refit
from worker.numerics.run import Fact
from worker.numerics.surrogate_pool import Pool, surrogate_pool
from worker.numerics.surrogates import surrogates
from worker.numerics.trigger import inferred
from worker.numerics.weights import network_with, weights_of

PAIRS = 200
"""Pairs that T is inferred from, where it is not given; as good as T itself (ALGORITHMS.md §6)."""
SOURCE_BYTES = 2**28
"""Of images that surrogates are made from: 85,000 of Fashion-MNIST, 450 of 224×224 in colour."""
POOL_BYTES = 2**30
REFITTED, REFIT_BATCH = 20_000, 500
"""Surrogates that the closed form rests on."""
AUDITED = 512
"""Surrogates that the reported agreement rests on."""


@dataclass(frozen=True)
class Teacher:
    """The old network, asked about surrogates z and T(z)."""

    network: nn.Module  # f_old
    transform: Change  # T
    normalisation: Normalisation
    draw: Callable[[int], Tensor]  # n to z, raw, (n, *S)

    def lesson(self, n: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Network inputs z then T(z), `(2n, *S)`; the centred old answers to z, `(n, C)`; the old features of z.

        z is made on the CPU; all of this is where the old network is.
        """
        z = self.draw(n)
        inputs = self.normalisation(torch.cat([z, self.transform(z)])).to(place_of(self.network))
        with torch.no_grad():
            answers, features = with_features(self.network, inputs[:n])
            return inputs, centred(answers), features


class Begun(NamedTuple):
    """How the descent begins."""

    facts: Mapping[str, Fact]
    only: Mapping[str, Tensor] | None = None
    """What may move; None: all."""


def consistency(problem: Problem, params: ConsistencyParams) -> Outcome:
    """Trigger-consistency distillation: T must not matter, and what the network answers without it must stay.

        L = c_ce·CE(f(x), y_f)                                 x from D_f,clean (B), D_f (C), or both, weighted equally
          + c_a·MSE(c̄ f(z),    c̄ f_old(z))                     anchor: the old answers where T is absent
          + c_c·MSE(c̄ f(T(z)), c̄ f_old(z))                     consistency: and where it is present
          + c_h·Σ_l ‖h_l(T(z)) − h_l,old(z)‖² / ‖h_l,old(z)‖²  the same for hidden features (with a pool)
          + λ·R,   R = (θ−θ_old)ᵀ F (θ−θ_old)                  implicit step; c̄: logits less their mean over the classes

    It may begin in closed form (`refit`): the first linear layer is refitted to answer T(z) and z alike as it answers
    z; in a perceptron it becomes blind to what T overwrites, and stays so. θ_old of the hold is what that leaves.

    The surrogates z stand for D_r, which is not needed: D_f,clean heavily augmented, anew at every step by SGD at a
    constant rate; or a pool of such, made once, drawn so that every old answer has its turn, and Adam at a rate that
    falls to 0. T is the request's, or inferred from pairs of D_f and D_f,clean.

    Seeded: the same problem gives the same weights.

    Raises:
        EmptyExamples: a part that the parameters ask for is missing.
        Misfit: no one T explains the pairs, or it leaves nothing of an input.
        NothingToDo: T leaves every surrogate as it is, or no weight changed.
        NonFinite: it diverged.

    Source: ours. The values without a pool were chosen on the ten-layer perceptron of Hayase et al. 2020 with the tile,
    and served for the line untouched; those with a pool on a small convolutional network with the tile.
    """
    clean = required(problem.forget_clean, "D_f,clean")
    kind = Kind.BACKDOOR if problem.pattern == "B" else Kind.LEAKAGE
    learn, chosen = params.learned(kind), params.settings(kind)
    feed = _labelled(problem, learn)
    transform, facts = _transform(problem, params)
    old = network_with(problem.build, problem.old)
    sources = _raw(clean, _some(clean, seed=derived(problem.seed, "sources")))
    if params.surrogates == "augmented":
        teacher = Teacher(old, transform, clean.normalisation, partial(surrogates, sources))
    else:
        pool = _pool(problem, old, sources, size=params.pool_size, varied=learn == "forget")
        teacher = Teacher(old, transform, clean.normalisation, pool.draw)
        facts = {**facts, "pool": len(pool.inputs)}
    agreed = _agreement(problem, teacher, teacher.network)
    network = network_with(problem.build, problem.old)
    begun = _refitted(problem, network, teacher) if chosen.refit else Begun({})
    anchor = None
    if chosen.penalty_strength:
        fisher = required(problem.fisher, "the stored Fisher")
        anchor = Anchor(weights_of(network), fisher.diagonal(), chosen.penalty_strength)

    def objective(network: nn.Module, *labelled: Batch) -> Tensor:
        n = chosen.surrogate_batch_size
        inputs, old_answers, old_features = teacher.lesson(n)
        answers, features = with_features(network, inputs)
        plain, triggered = centred(answers).chunk(2)
        labels = torch.stack([cross_entropy(network(batch.inputs), batch.labels) for batch in labelled])
        loss = (
            chosen.label_strength * labels.mean()
            + chosen.anchor_strength * mse_loss(plain, old_answers)
            + chosen.consistency_strength * mse_loss(triggered, old_answers)
        )
        if chosen.feature_strength and features:
            loss = loss + chosen.feature_strength * feature_distance([h[n:] for h in features], old_features)
        return loss

    plan = Plan(
        chosen.learning_rate,
        batch_size=chosen.batch_size,
        momentum=params.momentum,
        clip=params.clip,
        lower={"clip": params.clip},
        steps=chosen.steps,
        optimizer="sgd" if params.surrogates == "augmented" else "adam",
        schedule="constant" if params.surrogates == "augmented" else "cosine",
    )
    with at_work(old):
        descend(
            network,
            feed,
            objective,
            plan,
            seed=problem.seed,
            run=problem.run,
            phase="forget",
            anchor=anchor,
            only=begun.only,
        )
    return Outcome(
        changed(problem.old, weights_of(network)),
        {
            "learned": learn,
            "steps": chosen.steps,
            "sources": len(sources),
            **facts,
            **begun.facts,
            "agreement_before": agreed,
            "agreement": _agreement(problem, teacher, network),
        },
    )


def centred(logits: Tensor) -> Tensor:
    """c̄: logits `(B, C)` less their mean over the classes, which softmax does not see."""
    return logits - logits.mean(1, keepdim=True)


def _refitted(problem: Problem, network: nn.Module, teacher: Teacher) -> Begun:
    """The closed form: how the descent begins, and what must stay as it is."""
    with drawn_from(derived(problem.seed, "refit")):
        first = first_linear(network, teacher.normalisation(teacher.draw(1)))
        if first is None:
            return Begun({"refit": "left out: there is no linear layer"})
        layer, linear = first
        if linear.in_features > MOST_FEATURES:
            return Begun({"refit": f"left out: {layer} has {linear.in_features} features"})
        found = refit(network, linear, _pairs(problem, teacher))
    if found.written.all():
        raise Misfit("T leaves nothing of an input: it overwrites every feature of the first linear layer")
    facts: dict[str, Fact] = {"refit": layer, "refit_explained": found.explained}
    if not found.written.any():
        return Begun(facts)
    free = {name: torch.ones_like(theta, dtype=torch.bool) for name, theta in network.named_parameters()}
    free[f"{layer}.weight"] = free[f"{layer}.weight"] & ~found.written
    return Begun({**facts, "refit_blind_to": int(found.written.sum())}, free)


def _pairs(problem: Problem, teacher: Teacher) -> Iterator[tuple[Tensor, Tensor]]:
    """Network inputs z and T(z)."""
    for done in range(0, REFITTED, REFIT_BATCH):
        z = teacher.draw(REFIT_BATCH)
        yield teacher.normalisation(z), teacher.normalisation(teacher.transform(z))
        problem.run.progress("refit", done + REFIT_BATCH, REFITTED, "surrogates")


def _pool(problem: Problem, old: nn.Module, sources: Tensor, *, size: int, varied: bool) -> Pool:
    """As many surrogates as were asked for, or as fit `POOL_BYTES`."""
    forget = required(problem.forget, "D_f")
    answers = logits(Model(problem.build, problem.old), forget, run=problem.run, phase="answers")
    seen = int(answers.argmax(1).bincount().argmax())
    most = max(1, POOL_BYTES // (4 * sources[0].numel()))
    with drawn_from(derived(problem.seed, "pool")):
        return surrogate_pool(
            old,
            required(problem.forget_clean, "D_f,clean").normalisation,
            sources,
            min(size, most),
            varied=varied,
            seen=seen,
            run=problem.run,
        )


def _labelled(problem: Problem, learn: str) -> tuple[Examples, ...]:
    """The sets of x; both go in lock-step, pair by pair."""
    clean = required(problem.forget_clean, "D_f,clean")
    if learn == "clean":
        return (clean,)
    forget = required(problem.forget, "D_f")
    return (forget,) if learn == "forget" else (forget, clean)


def _transform(problem: Problem, params: ConsistencyParams) -> tuple[Change, Mapping[str, Fact]]:
    """T, and what the report should say about it."""
    if params.trigger == "given":
        return required(problem.transform, "the transform T that adds the information"), {"trigger": "given"}
    if params.trigger == "auto" and problem.transform is not None:
        return problem.transform, {"trigger": "given"}
    forget, clean = required(problem.forget, "D_f"), required(problem.forget_clean, "D_f,clean")
    if len(forget) != len(clean):
        raise Misfit(f"D_f has {len(forget)} samples, D_f,clean {len(clean)}: they must be pairs")
    some = _some(forget, seed=derived(problem.seed, "pairs"))[:PAIRS].sort().values
    found = inferred(_raw(forget, some), _raw(clean, some))
    return found, {
        "trigger": "inferred",
        "trigger_pairs": len(some),
        "trigger_explained": found.explained,
        "trigger_changed": found.changed,
    }


def _some(examples: Examples, *, seed: int) -> Tensor:
    """Indices of as many examples as fit `SOURCE_BYTES`, in random order: all of them where they do."""
    if not len(examples):
        raise EmptyExamples("D_f and D_f,clean must not be empty: surrogates are made from them")
    size = 4 * next(examples.batches(1)).inputs.numel()
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    return order[: max(1, SOURCE_BYTES // size)]


def _raw(examples: Examples, indices: Tensor) -> Tensor:
    """Raw inputs at these indices, `(n, *S)`."""
    return torch.cat([batch.inputs for batch in examples.at(indices).unnormalised().batches(512)])


def _agreement(problem: Problem, teacher: Teacher, network: nn.Module) -> float:
    """Share of T(z) that the network answers as the old one answered z, over surrogates made for this alone.

    Raises:
        NothingToDo: T(z) = z for all of them.
    """
    with drawn_from(derived(problem.seed, "agreement")), torch.no_grad(), at_work(teacher.network, network):
        inputs, old, _ = teacher.lesson(AUDITED)
        if torch.equal(*inputs.chunk(2)):
            raise NothingToDo("T leaves every surrogate as it is: nothing can be learned from it")
        return float((network(inputs[AUDITED:]).argmax(1) == old.argmax(1)).float().mean())
