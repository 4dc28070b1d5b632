"""One row of the Fisher benchmark in a process of its own: is it right, and how much memory does it take."""

import argparse
import copy
import ctypes
import gc
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.fisher_models import KINDS, ON_CUDA, Case
from benchmarks.fisher_rows import COMPILED, OURS, PLAIN, ROWS, Squares, loop

MIB = 2**20
Result = TypeVar("Result")


class Errors(NamedTuple):
    """How far squares are from the truth."""

    normwise: float  # the largest ‖found − true‖/‖true‖ of a parameter
    missing: list[str]  # parameters passed over


def main() -> None:
    """Look at one row; print what was seen as the last line, in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=[*KINDS, *ON_CUDA])
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--truth", type=Path, required=True, help="the squares by the definition, in float64")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    case = {**KINDS, **ON_CUDA}[options.model].case().on(options.device)
    print("\n" + json.dumps(look(options.row, case, load_file(options.truth, device=options.device))))


def look(row: str, case: Case, truth: Mapping[str, Tensor], *, compiling: bool = True) -> dict[str, Any]:
    """Run a row once and judge it; why it could not be done, if it raises.

    Args:
        row: its name.
        case: not written to.
        truth: Σₙ (∂ℓₙ/∂θ)² by the definition, in float64.
        compiling: have it compiled where it would be.
    """
    warnings.simplefilter("ignore")  # a peer's own
    try:
        return _look(row, case, truth, compiling=compiling)
    except ModuleNotFoundError as error:
        return {"failed": f"not installed: {error}"}
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is what its row says
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def _look(row: str, case: Case, truth: Mapping[str, Tensor], *, compiling: bool) -> dict[str, Any]:
    prepare, device = ROWS[row], case.inputs.device
    started = perf_counter()
    if row != COMPILED:  # whose first call compiles
        prepare(own(case._replace(inputs=case.inputs[:2], labels=case.labels[:2]))).run()  # loads code, fills caches
    before = standing(device)
    mine = own(case)
    ready, setup_peak = highest(lambda: prepare(mine), device, above=before)
    if compiling and ready.compile:  # that is set-up, and what stays of the compiler is not memory of the row
        held = standing(device) - before
        _, setup_peak = highest(ready.compile, device, above=before)
        before = standing(device) - held
    seen: dict[str, Any] = {"setup_seconds": perf_counter() - started, "setup_peak_mib": setup_peak / MIB}
    returned, peak = highest(ready.run, device, above=before)
    seen["peak_mib"] = peak / MIB
    seen = {key: round(value, 2) for key, value in seen.items()}
    if row == PLAIN:
        return seen
    seen |= {"compiled": compiling and ready.compile is not None, "by": ready.by()}
    errors = errors_of(ready.read(returned), truth)
    seen |= {"max_normwise_error": errors.normwise, "missing_parameters": len(errors.missing)}
    if row == OURS:  # not compiled: what is compiled is compared with this one when it is made
        in_float64 = prepare(doubled(case))
        seen["max_normwise_error_fp64"] = errors_of(in_float64.read(in_float64.run()), truth).normwise
    return seen


def truth_of(case: Case) -> Squares:
    """By the definition: one sample at a time, in float64."""
    ready = loop(doubled(case))
    return ready.read(ready.run())


def errors_of(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> Errors:
    """How far apart, over the parameters that were found."""
    errors = [float((s.double() - truth[name]).norm() / truth[name].norm()) for name, s in found.items()]
    return Errors(max(errors, default=float("inf")), [name for name in truth if name not in found])


def own(case: Case) -> Case:
    """A network of its own: peers leave hooks and attributes behind."""
    return case._replace(network=copy.deepcopy(case.network))


def doubled(case: Case) -> Case:
    """The same case in float64."""
    return Case(copy.deepcopy(case.network).double(), case.inputs.double(), case.labels)


def standing(device: torch.device) -> int:
    """Bytes in use now: resident memory (Linux) of a CPU, what torch has handed out of a GPU's."""
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.memory_allocated()
    _trim()
    return _resident("VmRSS")


def highest(call: Callable[[], Result], device: torch.device, *, above: int) -> tuple[Result, int]:
    """What a call returns, and the bytes in use at its height, its result included, above what stood before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        result = call()
        torch.cuda.synchronize()
        return result, torch.cuda.max_memory_allocated() - above
    _trim()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is resident
    result = call()
    return result, _resident("VmHWM") - above


def _trim() -> None:
    ctypes.CDLL(None).malloc_trim(0)  # so that memory freed before is taken anew, and seen


def _resident(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024


if __name__ == "__main__":
    main()
