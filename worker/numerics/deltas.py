"""What each step of a training did to the weights, and which samples it saw: recorded, checked, added up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from worker.numerics.descent import Objective
from worker.numerics.errors import Misfit, TooLarge
from worker.numerics.examples import Batch
from worker.numerics.jacobian import flat
from worker.numerics.run import Checkpoint, Fact, Quiet, Run
from worker.numerics.weights import Weights

NOBODY = -1
"""Stands where a batch holds fewer samples than the largest."""
ROUNDING = 2.0**-23
"""Twice what one rounding to float32 changes, relative to the number."""


@dataclass(frozen=True)
class Deltas:
    """The K steps of one training: Δθ_b = θ_b+1 − θ_b, parameters alone, and the batch of each.

    Kept in the parameters' own precision, float32: half of it, which is 11 bits down to 6·10⁻⁸, would lose the steps at
    the end of a cosine altogether, and what remains of hundreds of others would no longer add up to the training.
    """

    positions: Tensor  # (K, B) int64, rows of the manifest, NOBODY where a batch is smaller
    delta: Callable[[int], Tensor]  # b to Δθ_b, (P,) in the order of `named_parameters`; read when asked for
    taken: frozenset[int] = frozenset()  # steps that the weights at hand do not contain any more

    def seeing(self, positions: Tensor) -> list[int]:
        """The steps, not taken back yet, whose batch holds one of these samples, ascending."""
        seen = torch.isin(self.positions, positions).any(dim=1).nonzero().flatten()
        return [step for step in seen.tolist() if step not in self.taken]

    def total(self, steps: Iterable[int], parameters: int, *, run: Run | None = None) -> Tensor:
        """Σ Δθ_b over the steps: `(P,)` float64, 0 over none."""
        run, wanted = run or Quiet(), list(steps)
        total = torch.zeros(parameters, dtype=torch.float64)
        for done, step in enumerate(wanted, 1):
            total += self.delta(step)
            run.progress("take_back", done, len(wanted), "steps")
        return total


class Recorder:
    """A run that records one phase of it into two tensors, which may lie in files.

    Hand it to `train` as the run, and its `watch` as what takes note of the steps. A row belongs to the number of its
    step: an attempt that goes on at a checkpoint writes the rows that the first would have written.
    """

    def __init__(self, run: Run, phase: str, deltas: Tensor, positions: Tensor) -> None:
        """Record.

        Args:
            run: who is told of everything.
            phase: what is recorded.
            deltas: `(K, P)` float32, written to.
            positions: `(K, B)` int64, written to.
        """
        self.deltas, self.positions = deltas, positions
        self._run, self._phase = run, phase
        self._network: nn.Module | None = None
        self._before = self._seen = torch.empty(0)

    @property
    def recorded(self) -> Deltas:
        """What has been recorded."""
        return Deltas(self.positions, self.deltas.__getitem__)

    def watch(self, objective: Objective) -> Objective:
        """The same objective, which notes what it is asked about."""

        def watched(network: nn.Module, batch: Batch) -> Tensor:
            self._network, self._before, self._seen = network, _parameters(network), batch.positions
            return objective(network, batch)

        return watched

    def progress(self, phase: str, completed: int, total: int, unit: str) -> None:
        """A step is over: what it did is written down before anybody hears of it."""
        if phase == self._phase and self._network is not None:
            row = completed - 1
            self.deltas[row] = _parameters(self._network) - self._before
            self.positions[row] = NOBODY
            self.positions[row, : len(self._seen)] = self._seen
        self._run.progress(phase, completed, total, unit)

    def note(self, name: str, value: Fact) -> None:
        """Pass it on."""
        self._run.note(name, value)

    def save(self, name: str, checkpoint: Checkpoint) -> None:
        """Pass it on."""
        self._run.save(name, checkpoint)

    def saved(self, name: str) -> Checkpoint | None:
        """Ask on."""
        return self._run.saved(name)


def check_size(steps: int, parameters: int, batch_size: int, *, most_bytes: int) -> None:
    """K (4 P + 8 B) bytes are recorded, if that is not too many.

    Raises:
        TooLarge: it is.
    """
    needed = steps * (4 * parameters + 8 * batch_size)
    if needed > most_bytes:
        raise TooLarge(
            f"the deltas would take {needed:,} bytes, {steps:,} steps of {parameters:,} weights, and {most_bytes:,} are"
            " allowed: take larger batches, fewer epochs, or allow more"
        )


def check_deltas(deltas: Deltas, initial: Weights, weights: Weights, network: nn.Module) -> None:
    """The deltas are those of the training that led from one to the other.

        |θ − Σ_b Δθ_b − θ₀| ≤ 2⁻²³ Σ_b |Δθ_b|      entry by entry: each delta was rounded once

    Args:
        deltas: all of them.
        initial: θ₀.
        weights: θ.
        network: of the architecture; its values are not read.

    Raises:
        Misfit: they are of another training, or damaged.
    """
    moved = flat(weights, network) - flat(initial, network)
    if any(len(deltas.delta(step)) != len(moved) for step in range(min(1, len(deltas.positions)))):
        raise Misfit(f"the recorded deltas are not of {len(moved):,} weights, which the network has")
    total, length = torch.zeros_like(moved), torch.zeros_like(moved)
    for step in range(len(deltas.positions)):
        delta = deltas.delta(step).double()
        total += delta
        length += delta.abs()
    tiny = len(deltas.positions) * torch.finfo(torch.float32).tiny
    if not ((moved - total).abs() <= ROUNDING * length + tiny).all():  # a NaN is not
        raise Misfit("the recorded deltas do not lead from the initial weights to these: they are of another training")


def _parameters(network: nn.Module) -> Tensor:
    return flat(network.state_dict(), network).cpu()
