"""`descend`: the only training loop in the house."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from math import ceil, cos, isfinite, pi
from time import monotonic
from typing import Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from worker.numerics.binding import Part, bound_to
from worker.numerics.device import beside, seed_draws, working
from worker.numerics.errors import EmptyExamples, Misfit, NonFinite, NothingToDo
from worker.numerics.examples import Batch, Examples
from worker.numerics.randomness import derived, drawn_from
from worker.numerics.recipe import Recipe
from worker.numerics.run import Checkpoint, Fact, Quiet, Run
from worker.numerics.weights import Weights

CHECKPOINT_SECONDS = 10.0
SQUARES, TINY = 0.999, 1e-8  # β₂ and ε of Adam
GIVEN = (
    "no step was taken yet, so check the data and the weights that it began with; if an earlier phase made these,"
    " lower the learning rate there"
)
"""What to do about a loss that the plan has no part in."""

Feed = Examples | tuple[Examples, ...]
"""What the steps are made of. Several sets must be equally long and go in lock-step: batch k of each has the same
indices, so D_f and D_f,clean stay paired."""

Objective = Callable[..., Tensor]
"""`objective(network, batch)`, or `objective(network, batch, clean_batch, ...)` with one batch of each set of the feed,
to a scalar loss. It may draw from torch's global generator (random labels, augmentation): that is seeded anew for every
step from the seed and the step's number."""

Penalty = Literal["implicit", "explicit"]
"""How steps take an anchor's term; see `Anchor`."""

Until = Callable[[nn.Module, float], bool]
"""Asked before every step with the network and the loss of the step's batch; yes ends the descent there."""


@dataclass(frozen=True)
class Plan:
    """Minibatch SGD, or Adam: how far, how fast."""

    learning_rate: float  # of the first step
    epochs: int = 1
    batch_size: int = 128
    momentum: float = 0.9  # β; Adam's β₁
    weight_decay: float = 0.0
    schedule: Literal["cosine", "constant"] = "constant"  # cosine: to 0, step by step
    clip: float | None = None  # largest norm of the objective's gradient, before decay and anchor are added
    steps: int | None = None  # instead of epochs, repeating or cutting them
    sparsity: float = 0.0  # α of the first step in α‖θ‖₁, falling linearly to 0
    noise: float = 0.0  # σ of the Gaussian noise that every weight gets after every step
    optimizer: Literal["sgd", "adam"] = "sgd"
    lower: Mapping[str, float] = field(default_factory=dict, repr=False, hash=False)
    """What a caller may lower besides the learning rate, by parameter of the method; said when the descent diverges."""

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """The plan that a recipe describes."""
        return cls(
            learning_rate=recipe.learning_rate,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            schedule=recipe.schedule,
            clip=recipe.clip,
            optimizer=recipe.optimizer,
        )

    def rate(self, step: int, total: int) -> float:
        """The learning rate of step 0..total-1."""
        return self.learning_rate * ((1 + cos(pi * step / total)) / 2 if self.schedule == "cosine" else 1.0)

    def shrinkage(self, step: int, total: int) -> float:
        """α of step 0..total-1."""
        return self.sparsity * (1 - step / total)


@dataclass(frozen=True)
class Anchor:
    """The elastic weight consolidation term λ·(θ−θ_old)ᵀ F (θ−θ_old), added to the objective.

    `implicit` steps have the fixed point of the explicit ones and are stable for every λ; `explicit` ones only while
    2·lr·λ·max F < 2(1+β).

    Source: Kirkpatrick et al., Overcoming Catastrophic Forgetting, 2017; Hayase et al., 2020; the implicit step: ours.
    """

    old: Weights  # θ_old
    fisher: Mapping[str, Tensor]  # F, by parameter name
    strength: float  # λ
    penalty: Penalty = "implicit"


@dataclass
class _Moving:
    """One parameter that moves."""

    theta: nn.Parameter
    mask: Tensor | None  # entries that may move; None: all
    velocity: Tensor  # v
    pull: Tensor | None = None  # 2λF
    old: Tensor | None = None  # θ_old
    square: Tensor | None = None  # s of Adam

    def step(self, g: Tensor, rate: float | Tensor, shrinkage: float, plan: Plan, *, implicit: bool) -> None:
        """Move.

        v ← (β v + g + decay·θ + α·sgn θ + 2λF(θ−θ_old)) / (1 + 2·lr·λF)     the divisor only in implicit steps
        θ ← θ − lr·v + ξ,   ξ ~ N(0, σ²)                                       where the mask allows it

        lr is one number, or Adam's rate of every entry.
        """
        v = self.velocity.mul_(plan.momentum).add_(g)
        if plan.weight_decay:
            v.add_(self.theta, alpha=plan.weight_decay)
        if shrinkage:
            v.add_(self.theta.sign(), alpha=shrinkage)
        if self.pull is not None and self.old is not None:
            v.addcmul_(self.pull, self.theta - self.old)
            if implicit:
                v.div_(1 + rate * self.pull)
        moved = self.theta - rate * v
        if plan.noise:
            moved.add_(torch.randn_like(moved, device="cpu").to(moved.device), alpha=plan.noise)
        self.theta.copy_(moved if self.mask is None else torch.where(self.mask, moved, self.theta))

    def rate(self, g: Tensor, rate: float, plan: Plan, number: int) -> float | Tensor:
        """The rate of every entry: the plan's, or in step number 1, 2, … of Adam.

        s ← β₂ s + (1 − β₂) (g + decay·θ)²
        lr′ = lr · (1 − β)/(1 − βⁿ) / (√(s/(1 − β₂ⁿ)) + ε)      for v as `step` keeps it; g: of the objective alone

        Decay is part of the gradient, as in torch.optim.Adam; α and the anchor are not.

        Source: Kingma & Ba, Adam, 2015.
        """
        if plan.optimizer == "sgd":
            return rate
        if plan.weight_decay:
            g = g.add(self.theta, alpha=plan.weight_decay)
        if self.square is None:
            self.square = torch.zeros_like(g)
        self.square.mul_(SQUARES).addcmul_(g, g, value=1 - SQUARES)
        scale = rate * (1 - plan.momentum) / (1 - plan.momentum**number)
        return scale / ((self.square / (1 - SQUARES**number)).sqrt() + TINY)


@working
def descend(
    network: nn.Module,
    feed: Feed,
    objective: Objective,
    plan: Plan,
    *,
    seed: int,
    run: Run | None = None,
    phase: str = "descend",
    anchor: Anchor | None = None,
    only: Mapping[str, Tensor] | None = None,
    train_mode: bool = False,
    until: Until | None = None,
) -> int:
    """Minimise an objective by SGD with momentum or by Adam, in place; the network is left in eval mode.

    Everything random comes from `seed`: the order of every epoch, and the global generator at every step. So the same
    arguments give the same weights, and a killed attempt that goes on at its checkpoint gives them too, bit for bit on
    a CPU. It does so only if plan, θ, examples, masks and anchor are those that the checkpoint was taken with; that the
    objective is, follows from the phase's name.

    BatchNorm: in train mode it normalises by the batch and its running statistics change; in eval mode it uses them as
    they are. Under `only`, a BatchNorm whose `running_mean` is not named there stays in eval mode also when the rest
    trains.

    Args:
        network: θ, written to.
        feed: examples, or a tuple of equally long ones in lock-step.
        objective: network and a batch of each set, to a scalar.
        plan: steps, rates, momentum.
        seed: of order and draws.
        run: hears of progress in steps and may cancel; keeps the checkpoint under the name of the phase.
        phase: unique within a job.
        anchor: the EWC term.
        only: masks (bool, shaped like the tensor) by name of parameter *or buffer*. What is not named, and every entry
            that is false, is bit-identical afterwards, whatever weight decay, momentum and BatchNorm would do to it.
        train_mode: whether dropout and BatchNorm train.
        until: ends the descent before the plan does.

    Returns:
        Steps taken, by earlier attempts too.

    Raises:
        EmptyExamples: a set is empty.
        Misfit: sets of different lengths; masks or anchor that do not fit the network.
        NothingToDo: the masks leave no parameter to move, or the plan no step.
        NonFinite: a loss, or a weight at the end, is not finite; says at which step, and what to lower.
        Cancelled: by the run.
    """
    run = run or Quiet()
    sets = feed if isinstance(feed, tuple) else (feed,)
    per_epoch = steps_per_epoch(sets, plan.batch_size, train_mode=train_mode)
    total = plan.steps if plan.steps is not None else plan.epochs * per_epoch
    moving = _moving(network, only, anchor)
    if not moving or total < 1:
        raise NothingToDo("no parameter is left to move, or no step to take: widen the selection or the plan")
    unstable = _instability(moving, plan, anchor)
    if unstable is not None:
        run.note(f"{phase}_warning", unstable)
    held = _held_buffers(network, only)
    _set_modes(network, only, train_mode=train_mode)
    bound = bound_to(repr(plan), train_mode, network.state_dict(), *sets, only, *_bound_of(anchor))
    facts: dict[str, Fact] = {"seed": str(seed), "total": total, "bound": bound}
    done = _restore(run.saved(phase), network, moving, facts)
    started = kept_at = monotonic()
    last: float | None = None  # loss
    with drawn_from(seed):
        for step, batches in _steps(network, sets, plan, seed, range(done, total), per_epoch):
            seed_draws(derived(seed, "step", step))
            loss = objective(network, *batches)
            last = loss.item()
            if not isfinite(last):
                told = _remedy(plan, unstable) if step else GIVEN
                raise NonFinite(f"the loss is {last} at step {step + 1} of {phase!r}: {told}")
            if until is not None and until(network, last):
                break
            gradients = torch.autograd.grad(
                loss, [m.theta for m in moving.values()], allow_unused=True, materialize_grads=True
            )
            with torch.no_grad():
                for m, g in zip(moving.values(), _clipped(gradients, moving, plan.clip), strict=True):
                    m.step(
                        g,
                        m.rate(g, plan.rate(step, total), plan, step + 1),
                        plan.shrinkage(step, total),
                        plan,
                        implicit=anchor is not None and anchor.penalty == "implicit",
                    )
                for buffer, mask, before in held:
                    buffer.copy_(torch.where(mask, buffer, before))
            done = step + 1
            run.progress(phase, done, total, "steps")
            if monotonic() - (started if done == total else kept_at) >= CHECKPOINT_SECONDS:
                run.save(phase, _checkpoint(network, moving, {**facts, "done": done}))
                kept_at = monotonic()
    network.eval()
    _refuse_lost(network, f"after step {done} of {phase!r}", last, _remedy(plan, unstable))
    return done


def steps_per_epoch(sets: tuple[Examples, ...], batch_size: int, *, train_mode: bool) -> int:
    """Batches in an epoch. In train mode a last batch of one is left out: BatchNorm cannot normalise one sample."""
    n = len(sets[0])
    if not all(len(s) for s in sets):
        raise EmptyExamples("there are no examples to learn from, in one of the sets at least")
    if any(len(s) != n for s in sets):
        raise Misfit(
            f"sets in lock-step have {', '.join(str(len(s)) for s in sets)} examples: they must be equally long"
        )
    lonely = train_mode and n > batch_size > 1 and n % batch_size == 1
    return ceil(n / batch_size) - lonely


def _steps(
    network: nn.Module, sets: tuple[Examples, ...], plan: Plan, seed: int, wanted: range, per_epoch: int
) -> Iterator[tuple[int, tuple[Batch, ...]]]:
    """The wanted steps with their batches; every epoch has an order of its own, the same for all sets.

    The network only says where the batches go.
    """
    for epoch in count(wanted.start // per_epoch):
        orders = (torch.Generator().manual_seed(derived(seed, "epoch", epoch)) for _ in sets)
        feeds = (
            beside(network, s.batches(plan.batch_size, generator=order)) for s, order in zip(sets, orders, strict=True)
        )
        for step, batches in enumerate(islice(zip(*feeds, strict=True), per_epoch), epoch * per_epoch):
            if step >= wanted.stop:
                return
            if step >= wanted.start:
                yield step, batches


def _moving(network: nn.Module, only: Mapping[str, Tensor] | None, anchor: Anchor | None) -> dict[str, _Moving]:
    """The parameters with an entry that may move, by name."""
    state = network.state_dict()
    for name, given in (only or {}).items():
        if name not in state or given.shape != state[name].shape or given.dtype != torch.bool:
            raise Misfit(f"the mask of {name!r} does not fit: the network has no such tensor, or of another shape")
    moving = {}
    for name, theta in network.named_parameters():
        mask = None if only is None else only.get(name)
        if only is not None and (mask is None or not mask.any()):
            continue
        theta.requires_grad_(True)  # noqa: FBT003 - torch's own signature
        held = None if mask is None or mask.all() else mask.to(theta.device)
        moving[name] = _Moving(theta, held, torch.zeros_like(theta))
        if anchor is not None:
            if any(name not in part or part[name].shape != theta.shape for part in (anchor.fisher, anchor.old)):
                raise Misfit(f"the anchor has no {name!r} of shape {tuple(theta.shape)}")
            moving[name].pull = (2 * anchor.strength * anchor.fisher[name]).to(theta)
            moving[name].old = anchor.old[name].to(theta)
    return moving


def _held_buffers(network: nn.Module, only: Mapping[str, Tensor] | None) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Buffers that must not move freely: the buffer, the entries that may move, what it was."""
    if only is None:
        return []
    frozen = {name: only.get(name, torch.zeros_like(b, dtype=torch.bool)) for name, b in network.named_buffers()}
    return [(b, frozen[name].to(b.device), b.clone()) for name, b in network.named_buffers()]


def _set_modes(network: nn.Module, only: Mapping[str, Tensor] | None, *, train_mode: bool) -> None:
    network.train(train_mode)
    for name, module in network.named_modules():
        mask = (only or {}).get(f"{name}.running_mean" if name else "running_mean")
        if isinstance(module, _BatchNorm) and only is not None and (mask is None or not mask.any()):
            module.eval()


def _clipped(gradients: tuple[Tensor, ...], moving: Mapping[str, _Moving], clip: float | None) -> list[Tensor]:
    """Gradients of the entries that move, scaled down together if their norm exceeds `clip`."""
    masked = [
        g if m.mask is None else g.masked_fill(~m.mask, 0.0) for g, m in zip(gradients, moving.values(), strict=True)
    ]
    if clip is None:
        return masked
    norm = float(torch.stack([g.norm() for g in masked]).norm())
    return masked if norm <= clip else [g * (clip / norm) for g in masked]


def _instability(moving: Mapping[str, _Moving], plan: Plan, anchor: Anchor | None) -> str | None:
    """How far explicit steps are beyond their bound, and what brings them back; None if they are stable."""
    if anchor is None or anchor.penalty == "implicit":
        return None
    largest = max(
        float((m.pull if m.mask is None else m.pull[m.mask]).max()) for m in moving.values() if m.pull is not None
    )
    speed, bound = plan.learning_rate * largest, 2 * (1 + plan.momentum)
    if speed < bound:
        return None
    return (
        f"explicit penalty is unstable: 2·lr·λ·max F = {speed:.3g} is not below 2(1+momentum) = {bound:.3g}, with"
        f" lr = {plan.learning_rate:g} and λ = {anchor.strength:g}; lower penalty_strength below"
        f" {anchor.strength * bound / speed:.3g}, or use the implicit penalty"
    )


def _remedy(plan: Plan, unstable: str | None = None) -> str:
    """What to lower after a step, with the values in force: a penalty beyond its bound, or what makes steps long."""
    if unstable is not None:
        return unstable
    knobs = {"the learning rate": plan.learning_rate, **plan.lower}
    return f"lower {' or '.join(f'{name} ({value:g})' for name, value in knobs.items())}"


def _refuse_lost(network: nn.Module, when: str, last: float | None, remedy: str) -> None:
    """NonFinite, if a weight is not finite; a later attempt that had no step left to take does not know the loss."""
    told = "" if last is None else f", whose loss was {last:.4g}"
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise NonFinite(f"{name!r} is not finite {when}{told}: {remedy}")


def _bound_of(anchor: Anchor | None) -> tuple[Part, ...]:
    return () if anchor is None else (anchor.old, anchor.fisher, anchor.strength, anchor.penalty)


def _checkpoint(network: nn.Module, moving: Mapping[str, _Moving], facts: Mapping[str, Fact]) -> Checkpoint:
    weights = {f"weights.{name}": tensor.detach() for name, tensor in network.state_dict().items()}
    velocities = {f"velocity.{name}": m.velocity for name, m in moving.items()}
    squares = {f"square.{name}": m.square for name, m in moving.items() if m.square is not None}
    return {name: tensor.cpu() for name, tensor in {**weights, **velocities, **squares}.items()}, facts


def _restore(
    checkpoint: Checkpoint | None, network: nn.Module, moving: Mapping[str, _Moving], facts: Mapping[str, Fact]
) -> int:
    """Go back to a checkpoint of the same descent; steps done by then, 0 if there is none."""
    if checkpoint is None or not facts.items() <= checkpoint[1].items():
        return 0
    tensors, found = checkpoint
    network.load_state_dict({k.removeprefix("weights."): t for k, t in tensors.items() if k.startswith("weights.")})
    for name, m in moving.items():
        m.velocity.copy_(tensors[f"velocity.{name}"])
        if (square := tensors.get(f"square.{name}")) is not None:
            m.square = square.to(m.velocity.device, copy=True)
    return int(found["done"])
