"""Method `lcodec`: a Newton step of the units that the loss on D_f depends on."""

import warnings
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.functional import cross_entropy

from app.methods.lcodec import LcodecParams
from worker.numerics.codec import foci
from worker.numerics.errors import EmptyExamples, NothingToDo, TooLarge
from worker.numerics.examples import Examples
from worker.numerics.guards import changed, felt
from worker.numerics.outcome import Outcome
from worker.numerics.problem import Problem, required
from worker.numerics.randomness import derived, drawn_from
from worker.numerics.run import Run
from worker.numerics.saliency import mean_gradient
from worker.numerics.weights import network_with

CHUNK = 4_000_000
"""Entries of a Jacobian that are computed at once."""

Unit = tuple[str, int]
"""An output of a linear or convolutional layer: the layer's name and the row. Its block: the row and its bias."""


def lcodec(problem: Problem, params: LcodecParams) -> Outcome:
    """Newton steps on conditionally independent blocks.

        ℓ(x̃), a_u(x̃)     loss, and pre-activation of every unit u, mean over positions, on perturbed samples of D_f
        P = units that ℓ depends on, given those before, by the coefficient CODEC   (`foci`)
        θ_u ← θ_u + N_f/N_r (H_u + μI)⁻¹ g_u,   u ∈ P,   μ = λ·mean diag H_u
        g = ∇ mean_{D_f} ℓ,   H_u: Hessian block of the mean loss over samples of D_r   (`curvature`)

    Where θ minimises the loss over D, N_f g = −N_r ∇ mean_{D_r} ℓ: a Newton step on D_r. All blocks step at once, from
    θ_old, and all of D_f at once, where the paper takes sample by sample. Everything else, buffers too, stays bit for
    bit. In eval mode.

    Raises:
        EmptyExamples: D_f or D_r is empty.
        NothingToDo: the loss depends on no unit, or no output on D_f changed.
        NonFinite: a gradient or a step is not finite.
        TooLarge: the network, or the Hessians of a layer, are larger than allowed; nothing has been allocated.

    Source: Mehta et al. 2022, §4 (L-FOCI, equation 4). How λ, σ and the numbers of blocks and probes should be chosen,
    the paper leaves to each data set; ours were tried on the small network of `benchmarks.field`.
    """
    forget, retain = required(problem.forget, "D_f"), required(problem.retain, "D_r")
    if not len(forget) or not len(retain):
        raise EmptyExamples("D_f or D_r is empty: there is nothing to take out, or nothing to keep")
    network = network_with(problem.build, problem.old)
    if why := params.too_large(sum(p.numel() for p in network.parameters())):
        raise TooLarge(f"{why}: forget by another method, or raise the limit if the memory is there")
    with drawn_from(derived(problem.seed, "lcodec")):
        units, activations, losses = probed(network, forget, params, run=problem.run)
        chosen = [units[column] for column in foci(losses, activations, most=params.blocks)]
        some = retain.at(torch.randperm(len(retain))[: params.hessian_samples])
    if not chosen:
        raise NothingToDo("the loss on D_f depends on no unit's activation: raise probes or the noise")
    gradient = mean_gradient(network, forget, run=problem.run, phase="gradient")
    new = {name: tensor.clone() for name, tensor in problem.old.items()}
    moved = 0
    for layer in dict.fromkeys(layer for layer, _ in chosen):
        rows = torch.tensor([row for name, row in chosen if name == layer])
        names = block_names(network, layer)
        entries = len(rows) * sum(new[name][0].numel() for name in names) ** 2
        if entries > params.largest_hessian:
            raise TooLarge(
                f"the Hessians of {len(rows)} units of {layer!r} would have {entries:,} entries of 8 bytes, and"
                f" {params.largest_hessian:,} are allowed (largest_hessian): lower blocks, or raise the limit"
            )
        hessians = curvature(network, names, rows, some, run=problem.run, phase=f"hessian_{layer or 'layer'}")
        slopes = torch.cat([gradient[name][rows].reshape(len(rows), -1) for name in names], dim=1)
        steps = len(forget) / len(retain) * newton(hessians, slopes, params.damping)
        moved += steps.numel()
        for name, part in zip(names, torch.split(steps, [new[name][0].numel() for name in names], dim=1), strict=True):
            new[name][rows] = (new[name][rows] + part.view_as(new[name][rows])).to(new[name].dtype)
    return Outcome(
        felt(problem, changed(problem.old, new), forget),
        {
            "blocks": len(chosen),
            "units": len(units),
            "selected_fraction": moved / sum(p.numel() for p in network.parameters()),
            "blocks_of_layers": ", ".join(f"{layer}: {row}" for layer, row in sorted(chosen)),
        },
    )


def probed(
    network: nn.Module, forget: Examples, params: LcodecParams, *, run: Run
) -> tuple[list[Unit], Tensor, Tensor]:
    """The units; on perturbed samples of D_f their pre-activations `(n, units)` and the losses `(n,)`.

    From torch's global generator.
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(layer: nn.Module, _: object, out: Tensor, *, name: str) -> None:
        units_last = out.movedim(1, -1) if isinstance(layer, nn.Conv2d) else out
        seen[name].append(units_last.flatten(1, -2).mean(1) if out.dim() > 2 else out)

    handles = [module.register_forward_hook(partial(keep, name=name)) for name, module in layers.items()]
    rows = torch.arange(params.probes) % len(forget)
    if params.probes < len(forget):
        rows = torch.randperm(len(forget))[: params.probes]
    losses, done = [], 0
    try:
        for batch in forget.at(rows).batches(256):
            with torch.no_grad():
                answers = network(batch.inputs + params.noise * torch.randn_like(batch.inputs))
            losses.append(cross_entropy(answers, batch.labels, reduction="none"))
            done += len(batch.labels)
            run.progress("probe", done, params.probes, "samples")
    finally:
        for handle in handles:
            handle.remove()
    used = {name: torch.cat(parts) for name, parts in seen.items() if parts}
    units = [(name, row) for name, found in used.items() for row in range(found.shape[1])]
    return units, torch.cat(list(used.values()), dim=1), torch.cat(losses)


def block_names(network: nn.Module, layer: str) -> list[str]:
    """Names of the layer's weight and, if it has one, bias; both with a row for each unit."""
    own = [name for name, _ in network.get_submodule(layer).named_parameters(recurse=False)]
    return [f"{layer}.{name}" if layer else name for name in own]


def curvature(
    network: nn.Module, names: Sequence[str], rows: Tensor, examples: Examples, *, run: Run, phase: str
) -> Tensor:
    """The blocks of the Hessian of the mean cross entropy that belong to some rows of a layer.

        H_u = 1/N Σₙ J_uᵀ (diag p − p pᵀ) J_u     J_u: Jacobian of the logits, p = softmax(f(xₙ))

    Where the network is piecewise linear above the layer (ReLU, max pooling) this is the Hessian block itself; else its
    Gauss-Newton part, which unlike it has no negative eigenvalue.

    Args:
        network: converted to float64, in place; in eval mode.
        names: of the layer's tensors.
        rows: u, `(k,)`.
        examples: N ≥ 1.
        run: hears of progress in samples.
        phase: its name.

    Returns:
        `(k, p, p)` float64, p entries of a block: a row of each tensor, in the order of the names.
    """
    network.double()
    tensors = {name: network.get_parameter(name).detach() for name in names}
    blocks = {name: tensor[rows] for name, tensor in tensors.items()}

    def answer(blocks: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        replaced = {name: tensors[name].index_copy(0, rows, block) for name, block in blocks.items()}
        logits: Tensor = functional_call(network, replaced, (x.unsqueeze(0),)).squeeze(0)
        return logits, logits

    slopes = vmap(jacrev(answer, has_aux=True), in_dims=(None, 0))
    classes = network(next(examples.at(torch.arange(1)).batches(1)).inputs.double()).shape[1]
    size = sum(block[0].numel() for block in blocks.values())
    total = torch.zeros(len(rows), size, size, dtype=torch.float64)
    done = 0
    for batch in examples.batches(max(1, CHUNK // (classes * len(tensors[names[0]]) * size))):
        with warnings.catch_warnings(), torch.no_grad():  # of what the other weights did no graph is kept
            warnings.filterwarnings("ignore", "There is a performance drop")  # of some operations under vmap: known
            parts, logits = slopes(blocks, batch.inputs.double())
        p = logits.softmax(1)
        root = torch.diag_embed(p.sqrt()) - p.unsqueeze(2) * p.sqrt().unsqueeze(1)  # root rootᵀ = diag p − p pᵀ
        jacobian = torch.cat([parts[name].reshape(*parts[name].shape[:3], -1) for name in names], dim=3)  # (B, C, k, p)
        seen = torch.einsum("bij,bikp->kbjp", root, jacobian).flatten(1, 2)
        total.baddbmm_(seen.transpose(1, 2), seen)
        done += len(batch.labels)
        run.progress(phase, done, len(examples), "samples")
    return total / done


def newton(hessians: Tensor, gradients: Tensor, damping: float) -> Tensor:
    """(H + μI)⁻¹ g for every block, μ = λ·mean diag H; 0 where H is.

    Args:
        hessians: H, `(k, p, p)`, positive semidefinite.
        gradients: g, `(k, p)`.
        damping: λ > 0.
    """
    scale = hessians.diagonal(dim1=1, dim2=2).mean(1)
    flat = scale <= 0
    mu = torch.where(flat, 1.0, damping * scale)
    damped = hessians + torch.diag_embed(mu[:, None].expand_as(gradients))
    steps: Tensor = torch.linalg.solve(damped, gradients)
    return torch.where(flat[:, None], 0.0, steps)
