"""What a checkpoint is bound to: it may be gone on from only where everything is as it was when it was taken."""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

import torch
from torch import Tensor

from worker.numerics.examples import Examples

Part = Tensor | Examples | Mapping[str, Tensor] | str | int | float | bool | None


def bound_to(*parts: Part) -> str:
    """SHA-256 over these, in this order; of tensors every byte, with their type and shape.

    Examples are their positions, labels and normalisation, and the way they are stored, on which the order of a shuffle
    depends. What was done to their inputs is not seen: it belongs to the name of the checkpoint, or to another part.
    """
    digest = sha256()
    for piece in _pieces(parts):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(parts: Iterable[Part]) -> Iterator[bytes | memoryview]:
    for part in parts:
        if isinstance(part, Tensor):
            yield f"\0{part.dtype}{tuple(part.shape)}".encode()
            yield part.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        elif isinstance(part, Examples):
            yield f"\0{type(part).__name__}{part.normalisation}".encode()
            yield from _pieces((part.positions, part.labels))
        elif isinstance(part, Mapping):
            for name in sorted(part):
                yield f"\0{name}".encode()
                yield from _pieces((part[name],))
        else:
            yield f"\0{part!r}".encode()
