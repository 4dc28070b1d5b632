"""One batch as one program: the watched pass, written down once as torch's elementary operations, then compiled.

On a CPU every operation between two products is a pass through memory, and Python sees each of them. A compiler makes
one loop of what stands between two products, the square and the sum over samples included. It takes a minute or more,
so it is for many samples; and it needs a C++ compiler on the machine.
"""

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

import torch
from torch import Tensor, nn

from worker.numerics.fisher.batch import Plan, add_intercepted
from worker.numerics.fisher.compiler import Uncompiled, reason_of, require_compiler
from worker.numerics.fisher.definition import Sums, Tensors

EXACT, CLOSE = 1e-8, 1e-3
"""Largest normwise difference to the same batch as it is done otherwise, in float64 and in anything less."""


class Program:
    """`add_intercepted` for batches of one shape, compiled. Compilation is deterministic: no timing decides anything.

    Args:
        network: in eval mode.
        tensors: its parameters and buffers.
        names: the parameters whose squares are wanted.
        plan: what a trial has found out about the network.
        inputs: a batch of the shape that the program is for, `(B, *S)`, on the CPU. The program must give on it what
            `add_intercepted` gives.
        labels: `(B,)`.

    Raises:
        Uncompiled: there is no compiler; the pass cannot be written down without looking at the data (a branch that
            depends on a value); it cannot be compiled; or it comes out different.
    """

    def __init__(
        self, network: nn.Module, tensors: Tensors, names: Sequence[str], plan: Plan, inputs: Tensor, labels: Tensor
    ) -> None:
        self._tensors, self._names, self._shape = tensors, names, (inputs.shape, inputs.dtype)
        if inputs.device.type != "cpu":
            raise Uncompiled("only on a CPU")
        require_compiler()

        def watched_pass(*given: Tensor) -> tuple[()]:
            its_tensors = dict(zip(tensors, given, strict=False))
            sums = dict(zip(names, given[len(tensors) :], strict=False))
            add_intercepted(network, its_tensors, given[-2], given[-1], plan, sums)
            return ()

        found = self._zeros()
        try:
            arguments = self._arguments(inputs, labels, found)
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's about itself
                make_fx = import_module("torch.fx.experimental.proxy_tensor").make_fx  # loads for seconds: only here
                written = make_fx(watched_pass, tracing_mode="fake")(*arguments)
                run = import_module("torch._inductor").compile(written, arguments)
                self._run = cast("Callable[..., object]", run)
        except Exception as error:  # whatever a compiler raises is the reason to go on without it
            raise Uncompiled(reason_of(error)) from error
        self.add(inputs, labels, found)
        self._compare(found, network, plan, inputs, labels)

    def takes(self, inputs: Tensor) -> bool:
        """Whether this is a batch of the shape that the program is for."""
        return (inputs.shape, inputs.dtype) == self._shape

    def add(self, inputs: Tensor, labels: Tensor, sums: Sums) -> None:
        """Add one batch's squares, as `add_intercepted` does."""
        with torch.no_grad():
            self._run(*self._arguments(inputs, labels, sums))

    def _arguments(self, inputs: Tensor, labels: Tensor, sums: Sums) -> list[Tensor]:
        """Everything the program reads, and the sums that it adds to: it keeps nothing of its own."""
        return [*self._tensors.values(), *(sums[k] for k in self._names), inputs.contiguous(), labels.contiguous()]

    def _compare(self, found: Sums, network: nn.Module, plan: Plan, inputs: Tensor, labels: Tensor) -> None:
        truth = self._zeros()
        add_intercepted(network, self._tensors, inputs, labels, plan, truth)
        check_equal(found, truth)

    def _zeros(self) -> Sums:
        return {name: torch.zeros_like(self._tensors[name]) for name in self._names}


def check_equal(found: Sums, truth: Sums) -> None:
    """What was compiled gives what is given without. Writes to `found`.

    Squares that are not finite pass: they prove nothing, and whoever adds them up names the culprit.

    Raises:
        Uncompiled: it does not; names the parameter.
    """
    for name, s in found.items():
        limit = EXACT if s.dtype == torch.float64 else CLOSE
        norm = truth[name].norm()
        if s.sub_(truth[name]).norm() > limit * norm:
            raise Uncompiled(f"differs for {name}")
