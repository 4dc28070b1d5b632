"""The Jacobian of a network's answers: what each logit of each sample does with each weight."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from worker.numerics.examples import Examples
from worker.numerics.run import Run

CHUNK = 4_000_000
"""Entries that are computed at once."""


class Linearised:
    """f(w) ≈ f(u) + J (w − u) over some samples; J has a row for every logit, sample by sample."""

    def __init__(self, jacobian: Tensor, answers: Tensor) -> None:
        self.jacobian = jacobian  # J, (N·C, P) float64
        self.answers = answers  # f(u), (N·C,) float64

    def at(self, shift: Tensor) -> Tensor:
        """The answers at w = u + shift, `(P,)` to `(N·C,)`."""
        return self.answers + self.jacobian @ shift


def linearised(network: nn.Module, examples: Examples, *, run: Run, phase: str) -> Linearised:
    """The network around the weights it has, in float64 and eval mode.

    Args:
        network: converted to float64, in place. What a sample answers must not depend on others of its batch.
        examples: N ≥ 1; N·C·P numbers of 8 bytes must fit into memory.
        run: hears of progress in samples.
        phase: its name.
    """
    network.double().eval()
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    count = sum(p.numel() for p in parameters.values())

    def answer(weights: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        logits: Tensor = functional_call(network, dict(weights), (x.unsqueeze(0),)).squeeze(0)
        return logits, logits

    slopes = vmap(jacrev(answer, has_aux=True), in_dims=(None, 0))
    classes = len(network(_exact(next(examples.at(torch.arange(1)).batches(1)).inputs))[0])
    jacobian = torch.empty(len(examples), classes, count, dtype=torch.float64)
    answers = torch.empty(len(examples), classes, dtype=torch.float64)
    done = 0
    for batch in examples.batches(max(1, CHUNK // (classes * count))):
        here = slice(done, done + len(batch.labels))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")  # of some operations under vmap: known
            parts, logits = slopes(parameters, _exact(batch.inputs))
        torch.cat([parts[name].flatten(2) for name in parameters], 2, out=jacobian[here])
        answers[here] = logits.detach()
        done = here.stop
        run.progress(phase, done, len(examples), "samples")
    return Linearised(jacobian.flatten(0, 1), answers.flatten())


def flat(weights: Mapping[str, Tensor], network: nn.Module) -> Tensor:
    """The network's parameters among the weights as one vector `(P,)`, float64, in the order of J's columns."""
    return torch.cat([weights[name].flatten().double() for name, _ in network.named_parameters()])


def moved(weights: Mapping[str, Tensor], network: nn.Module, shift: Tensor) -> dict[str, Tensor]:
    """A copy of the weights, the network's parameters among them shifted by `(P,)` and rounded to their type."""
    new = {name: tensor.clone() for name, tensor in weights.items()}
    pieces = torch.split(shift, [p.numel() for p in network.parameters()])
    for (name, _), piece in zip(network.named_parameters(), pieces, strict=True):
        new[name].copy_(weights[name].double() + piece.view_as(weights[name]))
    return new


def _exact(inputs: Tensor) -> Tensor:
    """In float64, like the network; the words of a text stay whole numbers."""
    return inputs.double() if inputs.is_floating_point() else inputs
