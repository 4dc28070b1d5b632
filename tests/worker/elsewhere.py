"""A second device that every machine has: its tensors say that they are elsewhere, and hold what the CPU works out.

It takes the place that PyTorch keeps free for devices of others (PrivateUse1), so that autograd, `Module.to` and
factories treat it as a GPU. Whoever mixes its tensors with the CPU's gets the error that a GPU would give, and results
are the CPU's bit for bit. One thing is stricter: nobody may draw there, but dropout, since draws must be the same on
every device.

To be imported at the top of a test's file: autograd counts the devices when it first differentiates.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils import backend_registration
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

from worker.numerics import device

NAME = "elsewhere"
COPIES = {"aten::copy_"}
INDEXED = {"aten::index", "aten::index_put_", "aten::_index_put_impl_"}
"""A tensor may be indexed by one on the CPU."""
DRAWN = ("aten::rand", "aten::normal", "aten::uniform", "aten::multinomial", "aten::exponential", "aten::bernoulli")
DROPOUT = "aten::native_dropout"


class Module:
    """What torch asks of a device's module."""

    generator = torch.Generator()

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        self.generator.manual_seed(seed)

    def get_device_name(self) -> str:
        return "a stand-in"


class Elsewhere(Tensor):
    """A tensor there."""

    held: Tensor

    def __new__(cls, held: Tensor) -> Self:
        made: Self = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        return made

    def __init__(self, held: Tensor) -> None:
        self.held = held.detach()

    def tolist(self) -> Any:
        return self.held.tolist()

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(parts: Mapping[str, Tensor], *_: object) -> "Elsewhere":
        return Elsewhere(parts["held"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares it without the class and the function
        cls, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        _refuse(func, args, kwargs)
        goes_to = kwargs.get("device")
        inner_args, inner_kwargs = tree_map(_inside, (args, dict(kwargs)))
        if goes_to is not None:
            inner_kwargs["device"] = "cpu"
        with _own_draws(func):
            found = func(*inner_args, **inner_kwargs)
        if goes_to is not None and goes_to.type == "cpu":
            return found
        there = tree_map(lambda t: Elsewhere(t) if isinstance(t, Tensor) else t, found)
        return return_and_correct_aliasing(func, args, kwargs, there)  # type: ignore[no-untyped-call]


def _inside(value: object) -> object:
    return value.held if isinstance(value, Elsewhere) else value


def _refuse(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    name = func._schema.name
    if name.startswith(DRAWN) and getattr(kwargs.get("device"), "type", NAME) != "cpu":
        raise AssertionError(f"{name} draws on the device: draw on the CPU, where the seeds are, and move it")
    if name in COPIES:
        return
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    written = [
        value
        for argument, value in zip(func._schema.arguments, args, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
    ] + [kwargs[name] for name in ("out",) if name in kwargs]
    looked_up = args[1] if name in INDEXED else ()
    strangers = [t for t in tensors if not isinstance(t, Elsewhere) and not any(t is i for i in looked_up)]
    if any(t.dim() for t in strangers) or any(t is w for t in strangers for w in written):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu! ({name})"
        )


@contextmanager
def _own_draws(func: Any) -> Iterator[None]:
    """Within, dropout draws from the device's own generator."""
    if func._schema.name != DROPOUT:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.set_state(Module.generator.get_state())
        yield
        Module.generator.set_state(torch.default_generator.get_state())


def _made(func: Any, *args: Any, **kwargs: Any) -> Any:
    """A factory asked for a tensor there."""
    _refuse(func, args, kwargs)
    return Elsewhere(func(*args, **{**kwargs, "device": "cpu"}))


@contextmanager
def elsewhere() -> Iterator[set[str]]:
    """Within, networks work there; the types of the devices on which modules were called."""
    called: set[str] = set()

    def hear(_: nn.Module, given: tuple[Any, ...]) -> None:
        called.update(t.device.type for t in given if isinstance(t, Tensor))

    handle = register_module_forward_pre_hook(hear)
    torch.__future__.set_swap_module_params_on_conversion(True)  # parameters stay the same objects, as with a GPU
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(device, "_found", [torch.device(NAME)])
            yield called
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
        handle.remove()


backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
_library = torch.library.Library("_", "IMPL")  # type: ignore[no-untyped-call]
_library.fallback(_made, "PrivateUse1")  # type: ignore[no-untyped-call]
