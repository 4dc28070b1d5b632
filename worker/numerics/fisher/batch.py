"""One batch: a watched forward pass, a backward pass without weight gradients, and the squares on the way."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from worker.numerics.errors import Misfit
from worker.numerics.fisher.definition import Slowly, Sums, Tensors, by_vmap, residual
from worker.numerics.fisher.formulas import Product, chunks
from worker.numerics.fisher.interception import Course, Interception, Layout, Site, Use


@dataclass(frozen=True)
class Plan:
    """What a trial has found out about a network."""

    course: Course
    together: frozenset[str] = frozenset()  # several uses of the same entries: to be added up before squaring
    apart: Mapping[str, str] = field(default_factory=dict)  # parameters left to the slow way, with the reason
    slowly: Slowly = by_vmap


def add_intercepted(
    network: nn.Module, tensors: Tensors, inputs: Tensor, labels: Tensor, plan: Plan, sums: Sums
) -> None:
    """Add one batch's squares of every parameter that the plan does not set apart.

    Raises:
        Uncovered: the network does something that it did not do in the trial; nothing has been added.
        Unseen: a gradient came to a parameter past every operation that was watched.
    """
    leaves = {name: tensors[name].detach().requires_grad_() for name in sums}
    waiting: dict[str, list[Arrival]] = {}

    def arrived(site: Site, layout: Layout, g: Tensor) -> None:
        g = layout.samples_first(g)
        for use in site.uses:
            arrival = Arrival(use, g if use.a is None else layout.samples_first(use.a.detach()), g)
            for root in use.derived.roots - plan.apart.keys():
                if root in plan.together:
                    waiting.setdefault(root, []).append(arrival)
                else:
                    arrival.add_squares(leaves[root], sums[root])

    watching = Interception(leaves, inputs, plan.course, arrived)
    with torch.enable_grad(), watching:
        logits: Tensor = functional_call(network, {**tensors, **leaves}, (inputs,))
    watching.check()
    if logits.requires_grad:
        targets = [watching.anchor, *leaves.values()]
        reached: Sequence[Tensor | None] = torch.autograd.grad(
            logits, targets, residual(logits, labels), allow_unused=True
        )
        if past := {name for name, g in zip(leaves, reached[1:], strict=True) if g is not None} - plan.apart.keys():
            raise Unseen(past)
    with torch.no_grad():
        for root, arrivals in waiting.items():
            add_together(leaves[root], arrivals, sums[root])


class Unseen(Misfit):
    """Gradients came to parameters on a way that nobody watched."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        super().__init__(f"{self.names[0]!r} is used where torch's functions do not show it")


class Arrival(NamedTuple):
    """A use of a parameter, and the gradient at what came out of it; samples first."""

    use: Use
    a: Tensor  # what went in; g itself where that does not matter
    g: Tensor

    def add_squares(self, leaf: Tensor, out: Tensor) -> None:
        """Of a parameter, or of entries of it that nothing else uses."""
        tensor = self.use.derived.tensor
        if tensor is leaf:
            self.use.formula.add_squares(self.a, self.g, out)
        else:
            squares = torch.zeros_like(tensor)
            self.use.formula.add_squares(self.a, self.g, squares)
            out.add_(pulled(tensor, leaf, squares))

    def gradients(self, leaf: Tensor, rows: slice) -> Tensor:
        """Of some samples, as far as this use goes: `(B, *leaf.shape)`."""
        tensor = self.use.derived.tensor
        found = self.use.formula.gradients(self.a[rows], self.g[rows], tensor.shape)
        return found if tensor is leaf else pulled(tensor, leaf, found, batched=True)


def add_together(leaf: Tensor, arrivals: Sequence[Arrival], out: Tensor) -> None:
    """Several uses of the same entries: their gradients are added up sample by sample, then squared.

    Σₙ (Σ_u g_nu)²
    """
    merged = _merged(leaf, arrivals)
    if merged is not None:
        merged.add_squares(leaf, out)
        return
    for rows in chunks(len(arrivals[0].g), leaf.numel()):
        total = arrivals[0].gradients(leaf, rows)
        for arrival in arrivals[1:]:
            total = total + arrival.gradients(leaf, rows)
        out.add_(total.square().sum(0))  # not in place: of one arrival it may be g, which others still need


def _merged(leaf: Tensor, arrivals: Sequence[Arrival]) -> Arrival | None:
    """A layer called several times is one called once, with the positions of all."""
    first = arrivals[0].use
    if any(
        a.use.formula != first.formula or not isinstance(first.formula, Product) or a.use.derived.tensor is not leaf
        for a in arrivals
    ):
        return None
    inputs = [a.a.reshape(len(a.a), -1, a.a.shape[-1]) for a in arrivals]
    outputs = [a.g.reshape(len(a.g), -1, a.g.shape[-1]) for a in arrivals]
    return Arrival(first, torch.cat(inputs, 1), torch.cat(outputs, 1))


def pulled(tensor: Tensor, leaf: Tensor, gradient: Tensor, *, batched: bool = False) -> Tensor:
    """From something made of a parameter back to the parameter, by the chain rule."""
    return torch.autograd.grad(
        tensor, leaf, gradient, retain_graph=True, allow_unused=True, is_grads_batched=batched, materialize_grads=True
    )[0]
