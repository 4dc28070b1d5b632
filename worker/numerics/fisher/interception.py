"""Watching a network from below its modules: every call of torch in which a parameter meets the data.

Parameters enter the network as leaves. What is computed from parameters alone (views, transposes, the B A of a low-rank
update) is followed by autograd as usual. Where such a tensor V meets the data it is detached, so that autograd never
forms a weight gradient; a hook hands the gradient of what comes out to the formula of the operation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from worker.numerics.fisher.formulas import Factor, Formula, Uncovered
from worker.numerics.fisher.operations import COPYING, OPERATIONS, SELECTIONS, SPREADING, name_of


@dataclass(frozen=True)
class Layout:
    """Where the samples of a batch stand in what comes out of an operation."""

    axis: int  # the dimension that grows with the batch
    fold: int = 1  # how many of its entries belong to one sample
    minor: bool = False  # folded with the sample running fastest, `(F·B)` instead of `(B·F)`

    def samples_first(self, t: Tensor) -> Tensor:
        """`(B, F, *rest)`."""
        if self.axis == 0 and self.fold == 1:
            return t.unsqueeze(1)
        t = t.movedim(self.axis, 0)
        rest = t.shape[1:]
        return t.reshape(self.fold, -1, *rest).transpose(0, 1) if self.minor else t.reshape(-1, self.fold, *rest)


class Planned(NamedTuple):
    """One operation as earlier passes have found it."""

    name: str
    layout: Layout | None  # none: what comes out does not grow with the batch
    roots: frozenset[str] = frozenset()  # the parameters in it


class Course(NamedTuple):
    """One forward pass as earlier ones have found it."""

    calls: tuple[bool, ...]  # of the calls with a parameter, in order: does it also read the data?
    sites: tuple[Planned, ...]  # those that do


class Derived(NamedTuple):
    """A parameter, or a tensor made of parameters alone."""

    tensor: Tensor  # with its path back to the parameters
    roots: frozenset[str]  # their names
    selection: bool  # its entries are entries of one parameter, each at most once


class Use(NamedTuple):
    """One argument of one operation."""

    derived: Derived
    formula: Formula
    a: Tensor | None
    version: int  # of a's memory, when it was read


class Site(NamedTuple):
    """One operation in which parameters meet the data."""

    name: str
    shape: torch.Size  # of what comes out
    uses: tuple[Use, ...]


Arrived = Callable[[Site, Layout, Tensor], None]
"""An operation, where its samples stand, and the gradient of the loss at what came out of it."""


class Interception(TorchFunctionMode):
    """One forward pass, watched. Enter it around the call of the network.

    Afterwards `sites` holds every operation that has used parameters, in order, and `uncovered` the parameters that met
    the data where no formula is known, with the reason.

    Args:
        parameters: leaves that require gradients, by name.
        inputs: what depends on it is data.
        course: what earlier passes have found. Without, this pass only finds it: no hooks.
        arrived: called during the backward pass.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        inputs: Tensor,
        course: Course | None = None,
        arrived: Arrived | None = None,
    ) -> None:
        super().__init__()
        self.parameters, self.course, self.arrived = parameters, course, arrived
        self.calls: list[bool] = []
        self.sites: list[Site] = []
        self.uncovered: dict[str, str] = {}
        self.anchor = torch.zeros((), dtype=next(iter(parameters.values())).dtype, device=inputs.device)
        self.anchor.requires_grad_()
        self._samples = len(inputs)
        self._derived = {id(p): Derived(p, frozenset({name}), selection=True) for name, p in parameters.items()}
        self._data = WeakTensorKeyDictionary()
        self._data[inputs] = True

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Every call of torch made by the network comes through here."""
        del types
        kwargs = kwargs or {}
        tensors = _tensors((args, kwargs))
        ours = [self._derived[id(t)] for t in tensors if id(t) in self._derived]
        data = self._reads_data(tensors, ours=bool(ours))
        if not ours:
            out = func(*args, **kwargs)
        elif not data:
            return self._derive(func, args, kwargs, ours)
        elif isinstance(func, FunctionType):
            with self:
                return _undispatched(func)(*args, **kwargs)
        else:
            out = self._meet(func, args, kwargs, ours)
        if data and self.course is None:
            for t in (*_tensors(out), *(tensors[:1] if _writes(func) else ())):
                self._data[t] = True
        return out

    def _reads_data(self, tensors: list[Tensor], *, ours: bool) -> bool:
        """Whether one of them depends on the inputs. With a course, only asked for calls with a parameter."""
        if self.course is None:
            data = any(t in self._data for t in tensors)
            if ours:
                self.calls.append(data)
            return data
        if not ours:
            return True
        self.calls.append(len(self.calls) < len(self.course.calls) and self.course.calls[len(self.calls)])
        return self.calls[-1]

    def check(self) -> None:
        """The pass went as planned, and what formulas have still to read is as it was.

        Raises:
            Uncovered: it did not, or it is not.
        """
        if self.course is not None and (tuple(self.calls), len(self.sites)) != (
            self.course.calls,
            len(self.course.sites),
        ):
            raise Uncovered("other operations than in the trial")
        for site in self.sites:
            for use in site.uses:
                if use.a is not None and use.a._version != use.version:  # noqa: SLF001 - autograd checks only its own
                    raise Uncovered(f"what {site.name} has read is written to later", use.derived.roots)

    def _derive(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ours: list[Derived]) -> Any:
        """Something made of parameters alone: a parameter still."""
        name = name_of(func)
        if name in COPYING and torch.is_grad_enabled():
            shape = func(*args, **kwargs).shape
            if self._by_sample(ours[0].tensor.shape, shape) and self._next() in {None, name}:
                out = self._spread(ours[0], shape, name)
                if self.course is None:
                    self._data[out] = True
                return out
        out = func(*args, **kwargs)
        selection = name in SELECTIONS and len(ours) == 1 and ours[0].selection and not _fancy(name, args)
        roots = frozenset().union(*(d.roots for d in ours))
        for t in _tensors(out):
            if t.requires_grad and id(t) not in self._derived:
                self._derived[id(t)] = Derived(t, roots, selection)
        return out

    def _meet(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ours: list[Derived]) -> Any:
        """Parameters and data in one operation."""
        name = name_of(func)
        bare_args, bare_kwargs = self._bare((args, kwargs))
        if not torch.is_grad_enabled():
            return func(*bare_args, **bare_kwargs)
        if name in SPREADING:
            return self._entry_by_entry(func, args, kwargs)
        uses = []
        if name in OPERATIONS:
            names, reads = OPERATIONS[name]
            named = dict(zip(names, args, strict=False)) | kwargs
            given = dict(zip(names, bare_args, strict=False)) | bare_kwargs
            for key, (formula, a) in reads(given).items():
                if (derived := self._derived.get(id(named.get(key)))) is not None:
                    uses.append(Use(derived, formula, a, 0 if a is None else a._version))  # noqa: SLF001 - see check
        met = [use.derived.tensor for use in uses]
        for other in ours:
            if not any(other.tensor is t for t in met):
                self._give_up(other, f"no formula for torch's {name}")
        return self._hooked(func(*bare_args, **bare_kwargs), name, tuple(uses))

    def _entry_by_entry(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation with broadcasting, on a copy of the parameter for every sample."""
        name = name_of(func)
        shape = torch.broadcast_shapes(*(t.shape for t in _tensors((args, kwargs))))  # type: ignore[no-untyped-call]

        def own(t: Tensor) -> Tensor:
            derived = self._derived.get(id(t))
            return t if derived is None else self._spread(derived, shape, name)

        args, kwargs = _replaced((args, kwargs), own)
        return func(*args, **kwargs)

    def _spread(self, derived: Derived, shape: torch.Size, name: str) -> Tensor:
        """The parameter, once for each sample, as it stands in `shape`."""
        bare = derived.tensor.detach()
        layout = self._layout(name)
        aligned = [1] * (len(shape) - bare.dim()) + list(bare.shape)
        dims = tuple(range(2, len(shape) + 1))
        number = len(self.sites)
        self.sites.append(Site(name, shape, (Use(derived, Factor(dims), None, 0),)))
        if layout is None:
            return bare.expand(shape) if name in COPYING else bare
        if aligned[layout.axis] != 1:  # as many entries as the batch has samples: the trial will find it wrong
            return bare
        aligned[layout.axis] = shape[layout.axis]
        copies = bare.expand(aligned) + self.anchor
        self._watch(copies, number, layout)
        return copies

    def _hooked(self, y: Any, name: str, uses: tuple[Use, ...]) -> Any:
        if not uses:
            return y
        number, layout = len(self.sites), self._layout(name)
        self.sites.append(Site(name, y.shape, uses))
        if layout is None:
            return y
        if not y.requires_grad:
            y = y + self.anchor
        self._watch(y, number, layout)
        return y

    def _watch(self, y: Tensor, number: int, layout: Layout) -> None:
        """The node, not the tensor: it stands for what came out even if that is overwritten later."""
        place = y.output_nr

        def before(gradients: tuple[Tensor | None, ...]) -> None:
            g = gradients[place]
            if g is not None and self.arrived is not None:
                site = self.sites[number]
                self.sites[number] = site._replace(uses=())  # what it has read may be freed now
                with torch.no_grad():
                    self.arrived(site, layout, g)

        cast("torch.autograd.graph.Node", y.grad_fn).register_prehook(before)

    def _by_sample(self, before: torch.Size, after: torch.Size) -> bool:
        """Whether copying has done nothing but to give every sample one: one dimension of 1 is now the batch's."""
        aligned = (1,) * (len(after) - len(before)) + tuple(before)
        grown = [pair for pair in zip(aligned, after, strict=True) if pair[0] != pair[1]]
        return grown == [(1, self._samples)]

    def _next(self) -> str | None:
        """The operation that must come next; none without a course."""
        if self.course is None:
            return None
        return self.course.sites[len(self.sites)].name if len(self.sites) < len(self.course.sites) else "the end"

    def _layout(self, name: str) -> Layout | None:
        if self.course is None:
            return None
        if (expected := self._next()) != name:
            raise Uncovered(f"{name} where there was {expected} in the trial")
        return self.course.sites[len(self.sites)].layout

    def _give_up(self, derived: Derived, reason: str) -> None:
        for root in derived.roots:
            self.uncovered.setdefault(root, reason)

    def _bare(self, tree: Any) -> Any:
        return _replaced(tree, lambda t: t.detach() if id(t) in self._derived else t)


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order. Every call of torch pays for this."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (tuple, list)):
        return []
    return [t for part in tree for t in _tensors(part)]


def _replaced(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nesting with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _replaced(part, change) for key, part in tree.items()}
    return type(tree)(_replaced(part, change) for part in tree) if type(tree) in {tuple, list} else tree


def _writes(func: Any) -> bool:
    """Whether a function writes to its first argument: `add_`, `__iadd__`, `__setitem__`."""
    name = str(func.__name__)
    return name == "__setitem__" or name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))


def _fancy(name: str, args: tuple[Any, ...]) -> bool:
    """Indexing with tensors or lists, which may take an entry twice."""
    index = args[1] if name == "getitem" else None
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, (Tensor, list)) for part in parts)


@cache
def _undispatched(func: FunctionType) -> Callable[..., Any]:
    """One of torch's functions that are written in Python, with its own code and without the hand-over to this mode.

    What it calls in turn is seen. Without this, attention as a whole would be one opaque call.
    """
    blind = {name: lambda *_: False for name in func.__globals__ if name.startswith("has_torch_function")}
    copy = FunctionType(
        func.__code__, {**func.__globals__, **blind}, func.__name__, func.__defaults__, func.__closure__
    )
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy
