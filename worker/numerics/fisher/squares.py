"""Σₙ (∂ℓₙ/∂θ)² over one batch, in three exact ways: by layer (fast), by vmap(grad), one by one.

All three take the network, its parameters and buffers by name (so that the same network can answer in another
precision), and a batch. `chosen` finds the fastest that is right for a network by trying each on two samples.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.func import functional_call, grad, vmap

from worker.numerics.errors import NonFinite
from worker.numerics.fisher.layers import FORMULAS, Squares, Uncovered

VMAP_FLOATS = 2**26
"""At most so many numbers of per-sample gradients at a time (256 MiB in float32)."""

Tensors = Mapping[str, Tensor]
BatchSquares = Callable[[nn.Module, Tensors, Tensor, Tensor], Squares]
"""Network, its tensors, inputs `(B, *S)`, labels `(B,)` -> squares for every parameter."""


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


class Call(NamedTuple):
    """One call of one layer in a forward pass."""

    layer: nn.Module
    a: Tensor  # what went in
    version: int  # of a's memory: it must not be written to afterwards
    y: GradientEdge  # where in the graph its output stands, whatever is later done to that output in place


def by_layer(network: nn.Module, tensors: Tensors, inputs: Tensor, labels: Tensor) -> Squares:
    """From each layer's input and the gradient at its output; no weight gradient is ever formed.

    Raises:
        Uncovered: a parameter does not belong to exactly one layer with a known formula, called once.
    """
    named = dict(network.named_parameters())
    layers = {name: layer for name, layer in network.named_modules() if type(layer) in FORMULAS}
    owned = [id(p) for layer in layers.values() for p in layer.parameters(recurse=False)]
    if sorted(owned) != sorted(map(id, named.values())):
        raise Uncovered("a parameter outside the known layers, or in two of them")
    calls: dict[str, Call] = {}
    hooks = [layer.register_forward_hook(partial(_record, calls, name)) for name, layer in layers.items()]
    try:
        logits: Tensor = functional_call(network, dict(tensors), (inputs.detach().requires_grad_(),))
    finally:
        for hook in hooks:
            hook.remove()
    edges = [call.y for call in calls.values()]
    gradients = torch.autograd.grad(logits, edges, residual(logits, labels), allow_unused=True)
    squares = {name: torch.zeros_like(tensors[name]) for name in named}
    with torch.no_grad():
        for (name, call), g in zip(calls.items(), gradients, strict=True):
            if call.a._version != call.version:  # noqa: SLF001 - autograd's own check does not see what a hook has kept
                raise Uncovered("a layer's input was written to after the layer had read it")
            if g is not None:
                own = {key[len(name) + 1 :] if name else key: t for key, t in tensors.items() if _parent(key) == name}
                found = FORMULAS[type(call.layer)](call.layer, own, call.a.detach(), g)
                squares |= {f"{name}.{key}" if name else key: value for key, value in found.items()}
    return squares


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _record(calls: dict[str, Call], name: str, layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
    if name in calls or len(args) != 1 or not output.requires_grad:
        raise Uncovered(f"{name} is called more than once, by keyword, or apart from the input")
    calls[name] = Call(layer, args[0], args[0]._version, get_gradient_edge(output))  # noqa: SLF001 - see by_layer


def by_vmap(network: nn.Module, tensors: Tensors, inputs: Tensor, labels: Tensor) -> Squares:
    """Per-sample gradients by `vmap(grad)`, so many samples at a time that B × P stays bounded."""
    parameters = {name: tensors[name] for name, _ in network.named_parameters()}
    buffers = {name: tensor for name, tensor in tensors.items() if name not in parameters}

    def surrogate(theta: Tensors, x: Tensor, y: Tensor) -> Tensor:
        logits: Tensor = functional_call(network, {**theta, **buffers}, (x.unsqueeze(0),))
        return (logits * residual(logits, y.unsqueeze(0))).sum()

    gradients = vmap(grad(surrogate), in_dims=(None, 0, 0))
    squares = {name: torch.zeros_like(p) for name, p in parameters.items()}
    samples = max(1, VMAP_FLOATS // max(sum(p.numel() for p in parameters.values()), 1))
    for x, y in zip(torch.split(inputs, samples), torch.split(labels, samples), strict=True):
        for name, g in gradients(parameters, x, y).items():
            squares[name] += g.square_().sum(0)
    return squares


def one_by_one(network: nn.Module, tensors: Tensors, inputs: Tensor, labels: Tensor) -> Squares:
    """The definition: a backward pass for every sample. Slow, and right for every network."""
    parameters = {name: tensors[name].detach().requires_grad_() for name, _ in network.named_parameters()}
    everything = {**tensors, **parameters}
    squares = {name: torch.zeros_like(tensors[name]) for name in parameters}
    for x, y in zip(torch.split(inputs, 1), torch.split(labels, 1), strict=True):
        logits: Tensor = functional_call(network, everything, (x,))
        gradients = torch.autograd.grad(
            logits, list(parameters.values()), residual(logits, y), allow_unused=True, materialize_grads=True
        )
        for name, g in zip(parameters, gradients, strict=True):
            squares[name] += g.square()
    return squares


def chosen(network: nn.Module, inputs: Tensor, labels: Tensor) -> BatchSquares:
    """The fastest way that agrees with the definition, tried on two samples in float64.

    The trial catches what no list of layers can: a weight that is used outside its layer, a batch dimension that is not
    dimension 0, control flow that vmap cannot follow.

    Args:
        network: in eval mode.
        inputs: `(B, *S)`, of which the first two are used.
        labels: `(B,)`.

    Raises:
        NonFinite: a gradient of these two is not finite.
    """
    exact = {name: t.double() if t.is_floating_point() else t for name, t in tensors_of(network).items()}
    sample = (inputs[:2].double(), labels[:2])
    try:
        truth = one_by_one(network, exact, *sample)
    except RuntimeError:  # the network insists on float32
        return one_by_one
    finite(truth)
    for way in (by_layer, by_vmap):
        try:
            found = way(network, exact, *sample)
        except (Uncovered, RuntimeError):
            continue
        if all((found[name] - s).norm() <= 1e-9 * s.norm() for name, s in truth.items()):
            return way
    return one_by_one


def finite(squares: Squares) -> None:
    """Refuse squares that are not numbers.

    Raises:
        NonFinite: with the name of the first such parameter.
    """
    for name, s in squares.items():
        if not s.sum().isfinite() and not s.isfinite().all():
            raise NonFinite(f"the gradient of {name!r} is not finite: check the weights and the inputs")
