"""Σₙ (∂ℓₙ/∂θ)² over batch after batch: one forward and one backward pass each, and no weight gradient."""

import torch
from torch import Tensor, nn

from worker.numerics.errors import NonFinite
from worker.numerics.fisher import fused_cpu
from worker.numerics.fisher.batch import add_intercepted
from worker.numerics.fisher.compiled import Program, check_equal
from worker.numerics.fisher.compiler import Uncompiled
from worker.numerics.fisher.definition import Sums, Tensors, one_by_one, tensors_of
from worker.numerics.fisher.formulas import Uncovered
from worker.numerics.fisher.trial import planned

BATCHES_IN_FLOAT32 = 16
"""So many batches are summed in the gradients' own precision before they go into the float64 sums."""


class Accumulator:
    """Sums of squared per-sample gradients of a network's cross entropy, at its present weights.

        S = Σₙ (∂ℓ(f_θ(xₙ), yₙ)/∂θ)²

    The first samples are tried out in float64 against the definition: a parameter for which that fails is left to
    `vmap(grad)`, and if that fails too to a backward pass for every sample.

    Args:
        network: in eval mode; not written to. Its device is where the work is done.
        inputs: a first batch, `(B, *S)`, of which a few samples are looked at; nothing is added.
        labels: `(B,)`.

    Raises:
        Misfit: the network cannot be run on these inputs or differentiated, or logits do not come as `(B, C)`.
        SamplesMixed: a sample's logits depend on the batch it is in.
    """

    def __init__(self, network: nn.Module, inputs: Tensor, labels: Tensor) -> None:
        self._network = network
        self._tensors = tensors_of(network)
        self._names = [name for name, _ in network.named_parameters()]
        self._plan = planned(network, self._tensors, self._names, inputs.to(self._device), labels.to(self._device))
        self._sums = self._zeros(torch.float64)
        self._recent = self._zeros(None)
        self._kernel: fused_cpu.Kernel | None = None
        self._program: Program | None = None
        self._unmade: dict[str, list[str]] = {}  # what there was no compiler for, or no use, by the reason
        self._otherwise = 0
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def how(self) -> str:
        """How the squares are formed, what is left to a slower way, and why."""
        made = {"fused": self.fused, "compiled": self.compiled}
        said = ", ".join(["interception", *(word for word, it_is in made.items() if it_is)])
        for reason, words in self._unmade.items():
            said += f", not {' or '.join(words)} ({reason})"
        if apart := self._plan.apart:
            name, reason = next(iter(apart.items()))
            more = f" and {len(apart) - 1} more" if len(apart) > 1 else ""
            said += f", but {self._plan.slowly.__name__} for {name}{more}: {reason}"
        if self._otherwise:
            said += f"; one_by_one for {self._otherwise} samples, on which the network went another way"
        return said

    @property
    def settled(self) -> bool:
        """Everything added is in the float64 sums: the moment for a checkpoint that does not change the last digits."""
        return not self._pending

    @property
    def fused(self) -> bool:
        """Whether products are squared where they are formed."""
        return self._kernel is not None

    @property
    def compiled(self) -> bool:
        """Whether batches of one shape are added by a compiled program."""
        return self._program is not None

    def fuse(self, inputs: Tensor, labels: Tensor) -> None:
        """Have products squared where they are formed from now on, if that can be compiled; `how` says why not.

        Nothing is added. The last digits of a sum depend on whether it was done so. Only for float32 on a CPU: on a GPU
        it is always so, where it can be.

        Args:
            inputs: a batch, `(B, *S)`, on which it must give what is given without.
            labels: `(B,)`.
        """
        floats = {self._tensors[name].dtype for name in self._names if name not in self._plan.apart}
        if self._device.type != "cpu" or torch.float32 not in floats:
            return
        found, truth = self._zeros(None), self._zeros(None)
        try:
            kernel = fused_cpu.kernel()
            for sums, by in ((found, kernel), (truth, None)):
                with fused_cpu.used(by):
                    add_intercepted(self._network, self._tensors, inputs, labels, self._plan, sums)
            check_equal(found, truth)
            self._kernel = kernel
        except (Uncompiled, Uncovered) as error:
            self._unmade.setdefault(str(error), []).append("fused")

    def compile(self, inputs: Tensor, labels: Tensor) -> None:
        """Have batches of this shape added by a compiled program from now on, if one can be made; `how` says why not.

        Nothing is added. The last digits of a sum depend on whether it was done so.

        Args:
            inputs: `(B, *S)`.
            labels: `(B,)`.
        """
        inputs, labels = (t.to(self._device) for t in (inputs, labels))
        watched = [name for name in self._names if name not in self._plan.apart]
        try:
            with fused_cpu.used(self._kernel):
                self._program = Program(self._network, self._tensors, watched, self._plan, inputs, labels)
        except Uncompiled as error:
            self._unmade.setdefault(str(error), []).append("compiled")

    def add(self, inputs: Tensor, labels: Tensor, positions: Tensor | None = None) -> None:
        """Add the squares of one batch.

        Args:
            inputs: `(B, *S)`.
            labels: `(B,)`.
            positions: `(B,)`, what errors call the samples; by default 0..B-1.

        Raises:
            NonFinite: a gradient of this batch, or of one of the last few, is not finite; parameter and sample are
                named.
        """
        inputs, labels = (t.to(self._device) for t in (inputs, labels))
        positions = torch.arange(len(labels)) if positions is None else positions
        self._pending.append((inputs, labels, positions))
        self._add(inputs, labels, self._recent)
        if len(self._pending) >= BATCHES_IN_FLOAT32:
            self._settle()

    def resume(self, sums: Tensors) -> bool:
        """Go on from earlier sums; false if they are not those of this network."""
        if {k: s.shape for k, s in sums.items()} != {k: s.shape for k, s in self._sums.items()}:
            return False
        for name, s in self._sums.items():
            s.copy_(sums[name])
        return True

    def sums(self) -> dict[str, Tensor]:
        """S so far, float64 on the CPU, by parameter name.

        Raises:
            NonFinite: as `add`.
        """
        return {name: s.clone() for name, s in self.finished().items()}

    def finished(self) -> dict[str, Tensor]:
        """The same without a copy where they are on the CPU: nothing may be added afterwards.

        Raises:
            NonFinite: as `add`.
        """
        self._settle()
        return {name: s.cpu() for name, s in self._sums.items()}

    def _add(self, inputs: Tensor, labels: Tensor, sums: Sums) -> None:
        plan, batch = self._plan, (self._network, self._tensors, inputs, labels)
        try:
            with fused_cpu.used(self._kernel):
                if self._program is not None and self._program.takes(inputs):
                    self._program.add(inputs, labels, sums)
                elif len(plan.apart) < len(sums):
                    add_intercepted(*batch, plan, sums)
        except Uncovered:  # the network does other things on this batch than on the trial's
            one_by_one(*batch, sums)
            self._otherwise += len(labels)
        else:
            if plan.apart:
                plan.slowly(*batch, {name: sums[name] for name in plan.apart})

    def _settle(self) -> None:
        for name, recent in self._recent.items():
            if not recent.sum().isfinite():
                raise self._not_finite(name)
            self._sums[name].add_(recent)
            recent.zero_()
        self._pending.clear()

    def _not_finite(self, name: str) -> NonFinite:
        """Find the sample: the squares of each alone."""
        for inputs, labels, positions in self._pending:
            for n, position in enumerate(positions.tolist()):
                alone = self._zeros(None)
                self._add(inputs[n : n + 1], labels[n : n + 1], alone)
                for culprit, s in alone.items():
                    if not s.isfinite().all():
                        return NonFinite(
                            f"the gradient of {culprit!r} is not finite for the sample at position {position}:"
                            " check the weights and this input"
                        )
        return NonFinite(f"the squared gradients of {name!r} add up beyond float32: check the weights")

    def _zeros(self, dtype: torch.dtype | None) -> Sums:
        return {name: torch.zeros_like(self._tensors[name], dtype=dtype) for name in self._names}

    @property
    def _device(self) -> torch.device:
        return self._tensors[self._names[0]].device
