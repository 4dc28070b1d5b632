"""Per-sample gradients by the book: what the fast way is compared with, and what is left where it has no formula.

Both take the network, its tensors by name (so that the same network can answer in another precision), a batch, and the
parameters that are asked for.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from worker.numerics.fisher.formulas import squared_into

VMAP_FLOATS = 2**24
"""At most so many numbers of per-sample gradients at a time (64 MiB in float32), one sample's at least."""

Tensors = Mapping[str, Tensor]
Sums = dict[str, Tensor]
"""Σₙ (∂ℓₙ/∂θ)² by parameter name."""

Slowly = Callable[[nn.Module, Tensors, Tensor, Tensor, Sums], None]
"""Network, its tensors, inputs `(B, *S)`, labels `(B,)`, and the sums to add to: their names say what is asked for."""


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by name, detached, sharing the network's memory."""
    return {name: t.detach() for name, t in (*network.named_parameters(), *network.named_buffers())}


def residual(logits: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each sample's cross entropy at its logits, p − onehot(y), without cancellation.

        r_j = p_j  for j ≠ y        r_y = −Σ_{j≠y} p_j

    p_y − 1 in float32 loses every digit on samples that the network fits well; the sum of the others, in float64,
    loses none.

    Args:
        logits: `(B, C)`.
        labels: y, `(B,)`.

    Returns:
        `(B, C)` in the logits' precision.
    """
    column = labels.unsqueeze(-1)
    others = logits.detach().double().softmax(-1).scatter(-1, column, 0.0)
    return others.scatter(-1, column, -others.sum(-1, keepdim=True)).to(logits.dtype)


def by_vmap(network: nn.Module, tensors: Tensors, inputs: Tensor, labels: Tensor, sums: Sums) -> None:
    """Per-sample gradients by `vmap(grad)`, so many samples at a time that their number stays bounded."""
    asked = {name: tensors[name] for name in sums}
    rest = {name: tensor for name, tensor in tensors.items() if name not in asked}

    def surrogate(theta: Tensors, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = functional_call(network, {**rest, **theta}, (x.unsqueeze(0),))
        return (logits * residual(logits, y.unsqueeze(0))).sum()

    gradients = vmap(grad(surrogate), in_dims=(None, 0, 0))
    samples = max(1, VMAP_FLOATS // max(sum(p.numel() for p in asked.values()), 1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")  # of some operations under vmap: known
        for x, y in zip(torch.split(inputs, samples), torch.split(labels, samples), strict=True):
            for name, g in gradients(asked, x, y).items():
                squared_into(g, sums[name])


def one_by_one(network: nn.Module, tensors: Tensors, inputs: Tensor, labels: Tensor, sums: Sums) -> None:
    """The definition: a backward pass for every sample. Slow, and right for every network."""

    def add(name: str, g: Tensor) -> None:
        sums[name].addcmul_(g, g)

    for _ in each_sample(network, tensors, inputs, labels, sums, add):
        pass


def each_sample(
    network: nn.Module,
    tensors: Tensors,
    inputs: Tensor,
    labels: Tensor,
    names: Iterable[str],
    take: Callable[[str, Tensor], None],
) -> Iterable[Tensor]:
    """One backward pass for every sample, its gradients handed over one parameter at a time.

    Args:
        network: in eval mode.
        tensors: its parameters and buffers.
        inputs: `(B, *S)`.
        labels: `(B,)`.
        names: the parameters that are asked for.
        take: called with a name and ∂ℓₙ/∂θ, which is not kept.

    Yields:
        The logits of each sample, `(1, C)`.
    """
    leaves = {name: tensors[name].detach().requires_grad_() for name in names}

    def hand_over(name: str) -> Callable[[Tensor], None]:
        def hook(leaf: Tensor) -> None:
            if leaf.grad is not None:
                take(name, leaf.grad)
            leaf.grad = None

        return hook

    for name, leaf in leaves.items():
        leaf.register_post_accumulate_grad_hook(hand_over(name))  # type: ignore[no-untyped-call]
    for x, y in zip(torch.split(inputs, 1), torch.split(labels, 1), strict=True):
        with torch.enable_grad():
            logits: Tensor = functional_call(network, {**tensors, **leaves}, (x,))
        if logits.requires_grad:
            torch.autograd.backward(logits, residual(logits, y))
        yield logits.detach()
