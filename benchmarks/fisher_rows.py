"""The rows of the Fisher benchmark: every way to Σₙ (∂ℓₙ/∂θ)² of a batch, ours and the peers', each in one function.

A row takes a case, does what need be done once, and returns what is timed and how to read what that returned. A peer
that is not installed, or that cannot do it, raises.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from benchmarks.fisher_models import Case
from worker.numerics.fisher import Accumulator
from worker.numerics.fisher.estimate import pays

Squares = dict[str, Tensor]
"""Σₙ (∂ℓₙ/∂θ)² by parameter name."""

CHUNK = 8
LARGE = 10**6
"""So many samples are a large data set."""


class Ready(NamedTuple):
    """A row that is about to start."""

    run: Callable[[], Any]  # timed
    read: Callable[[Any], Squares]  # of what `run` returned: not timed
    compile: Callable[[], Any] | None = None  # to be called once before, where a compiler has a part in it: not timed
    by: Callable[[], str] = str  # what a row says of how it does it


Prepare = Callable[[Case], Ready]


def plain(case: Case) -> Ready:
    """The unit: forward, backward, the gradient of the batch mean for every parameter."""
    names, parameters = zip(*case.network.named_parameters(), strict=True)

    def run() -> tuple[Tensor, ...]:
        return torch.autograd.grad(cross_entropy(case.network(case.inputs), case.labels), parameters)

    return Ready(run, lambda gradients: dict(zip(names, gradients, strict=True)))


def ours(case: Case) -> Ready:
    """This project's engine as a registration of a large data set uses it: its kernel, and compiled where that pays.

    The sums, in float64, are part of what is timed.
    """
    accumulator = Accumulator(*case)
    ready = _adding(accumulator, case)
    if case.inputs.is_cuda:
        return ready
    whole = pays(case.network, case.inputs, LARGE)

    def compile_it() -> None:
        accumulator.fuse(case.inputs, case.labels)
        if whole:
            accumulator.compile(case.inputs, case.labels)
        if not accumulator.fused or accumulator.compiled != whole:
            raise RuntimeError(accumulator.how)

    return ready._replace(compile=compile_it)


def ours_eager(case: Case) -> Ready:
    """The same without a compiler, as for a small data set, or a machine that has none."""
    return _adding(Accumulator(*case), case)


def _adding(accumulator: Accumulator, case: Case) -> Ready:
    add = partial(accumulator.add, case.inputs, case.labels)
    return Ready(add, lambda _: accumulator.sums(), by=lambda: accumulator.how)


def loop(case: Case) -> Ready:
    """The definition: a backward pass for every sample."""
    parameters = dict(case.network.named_parameters())

    def run() -> Squares:
        squares = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for x, y in zip(torch.split(case.inputs, 1), torch.split(case.labels, 1), strict=True):
            gradients = torch.autograd.grad(cross_entropy(case.network(x), y), list(parameters.values()))
            for s, g in zip(squares.values(), gradients, strict=True):
                s.addcmul_(g, g)
        return squares

    return Ready(run, dict)


def by_vmap(case: Case) -> Ready:
    """`vmap(grad)` of the whole batch: B × P numbers at once."""
    return Ready(partial(_vmapped(case.network), case.inputs, case.labels), dict)


def by_vmap_in_chunks(case: Case) -> Ready:
    """`vmap(grad)` of a few samples at a time."""
    squares = _vmapped(case.network)

    def run() -> Squares:
        total: Squares = {}
        for x, y in zip(torch.split(case.inputs, CHUNK), torch.split(case.labels, CHUNK), strict=True):
            for name, s in squares(x, y).items():
                total[name] = total[name] + s if name in total else s
        return total

    return Ready(run, dict)


def by_compiled_vmap(case: Case) -> Ready:
    """The same as `vmap(grad)`, through `torch.compile`."""
    run = partial(torch.compile(_vmapped(case.network), dynamic=False, fullgraph=True), case.inputs, case.labels)
    return Ready(run, dict, compile=run)


def _vmapped(network: nn.Module) -> Callable[[Tensor, Tensor], Squares]:
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    buffers = dict(network.named_buffers())

    def loss(theta: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(network, {**theta, **buffers}, (x.unsqueeze(0),))
        return cross_entropy(logits, y.unsqueeze(0))

    def squares(inputs: Tensor, labels: Tensor) -> Squares:
        gradients = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, inputs, labels)
        return {name: g.square().sum(0) for name, g in gradients.items()}

    return squares


def backpack(case: Case) -> Ready:
    """BackPACK's `SumGradSquared` (Dangel et al. 2020)."""
    library, extensions = import_module("backpack"), import_module("backpack.extensions")
    network, loss = library.extend(case.network), library.extend(nn.CrossEntropyLoss(reduction="sum"))

    def run() -> Squares:
        network.zero_grad()
        with library.backpack(extensions.SumGradSquared()):
            torch.autograd.backward(loss(network(case.inputs), case.labels))
        return _taken(network, "sum_grad_squared")

    return Ready(run, dict)


def opacus(case: Case, *, mode: str) -> Ready:
    """Opacus' per-sample gradients (Yousefpour et al. 2021), squared.

    It looks at nothing in eval mode, so the network is put in train mode: the same where there is no BatchNorm or
    dropout, and where there is BatchNorm it refuses.
    """
    wrap = import_module("opacus.grad_sample.utils").prepare_module
    network = wrap(case.network.train(), grad_sample_mode=mode, loss_reduction="sum")

    def run() -> Squares:
        network.zero_grad()
        torch.autograd.backward(cross_entropy(network(case.inputs), case.labels, reduction="sum"))
        samples = _taken(case.network, "grad_sample")
        return {name: g.square().sum(0) for name, g in samples.items()}

    return Ready(run, dict)


def nngeometry(case: Case) -> Ready:
    """NNGeometry's diagonal (George 2021) of the losses themselves: F = 1/N Σₙ (∂ℓₙ/∂θ)²."""
    backend = import_module("nngeometry.backend").TorchHooksJacobianBackend
    layers = import_module("nngeometry.layercollection").LayerCollection.from_model(case.network)
    diagonal = import_module("nngeometry.object").PMatDiag
    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(case.inputs, case.labels), batch_size=len(case.labels)
    )

    def losses(x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(case.network(x), y, reduction="none").unsqueeze(1)

    def run() -> Tensor:
        generator = backend(model=case.network, function=losses, layer_collection=layers)
        mean: Tensor = diagonal(generator=generator, examples=batches).get_diag()
        return mean

    def read(mean: Tensor) -> Squares:
        parameters = dict(case.network.named_parameters())
        names = [f"{layer}.{kind}" for layer in layers.layers for kind in ("weight", "bias")]
        known = [name for name in names if name in parameters]
        return _cut(mean * len(case.labels), {name: parameters[name] for name in known})

    return Ready(run, read)


def laplace(case: Case) -> Ready:
    """laplace-torch's empirical Fisher (Daxberger et al. 2021) on its curvlinops backend."""
    curvature = import_module("laplace.curvature.curvlinops").CurvlinopsEF(case.network, "classification")

    def run() -> Tensor:
        diagonal: Tensor = curvature.diag(case.inputs, case.labels)[1]
        return diagonal

    return Ready(run, lambda diagonal: _cut(diagonal, dict(case.network.named_parameters())))


def asdl(case: Case) -> Ready:
    """ASDL's empirical Fisher (Osawa et al. 2023); on PyPI `asdfghjkl`: `asdl` there is something else."""
    library = import_module("asdl")
    config = library.FisherConfig(
        fisher_type=library.FISHER_EMP,
        loss_type=library.LOSS_CROSS_ENTROPY,
        fisher_shapes=[library.SHAPE_DIAG],
        data_size=1,
    )
    maker = library.get_fisher_maker(case.network, config)

    def run() -> None:
        logits = maker.setup_model_call(case.network, case.inputs)
        maker.setup_loss_call(nn.CrossEntropyLoss(reduction="sum"), logits, case.labels)
        maker.forward_and_backward()

    def read(_: None) -> Squares:
        squares = {}
        for name, p in case.network.named_parameters():
            layer, _dot, kind = name.rpartition(".")
            diagonal = getattr(getattr(case.network.get_submodule(layer), "fisher", None), "diag", None)
            if (found := getattr(diagonal, kind, None)) is not None:
                squares[name] = found.reshape(p.shape)
        return squares

    return Ready(run, read)


def _taken(network: nn.Module, attribute: str) -> Squares:
    """What a peer has left on the parameters; removed from there, so that it lives no longer than anybody's result."""
    found = {}
    for name, p in network.named_parameters():
        if getattr(p, attribute, None) is not None:
            found[name] = getattr(p, attribute)
            setattr(p, attribute, None)
    return found


def _cut(flat: Tensor, like: Mapping[str, Tensor]) -> Squares:
    parts = torch.split(flat, [p.numel() for p in like.values()])
    return {name: part.reshape(p.shape) for (name, p), part in zip(like.items(), parts, strict=True)}


PLAIN, OURS, EAGER, COMPILED = "plain", "ours", "ours_eager", "vmap_compiled"
ROWS: dict[str, Prepare] = {
    PLAIN: plain,
    OURS: ours,
    EAGER: ours_eager,
    "loop": loop,
    "vmap": by_vmap,
    "vmap_chunks": by_vmap_in_chunks,
    COMPILED: by_compiled_vmap,
    "backpack": backpack,
    "opacus": partial(opacus, mode="hooks"),
    "opacus_functorch": partial(opacus, mode="functorch"),
    "opacus_ew": partial(opacus, mode="ew"),
    "nngeometry": nngeometry,
    "laplace": laplace,
    "asdl": asdl,
}
