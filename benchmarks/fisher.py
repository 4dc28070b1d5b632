r"""What the exact Fisher diagonal costs, in units of plain forward+backward: ours beside every peer, one thread.

Time is the median over rounds of a row's seconds by those of a plain forward+backward right before it; each round runs
every row once, in rotating order. Memory (the network, what a row holds, and the height of its call) and exactness are
looked at in a process for each row. Inputs are random, from a fixed seed. The mean over rounds is there as well: in
every sixteenth batch ours adds its float32 sums to the float64 ones, which a median does not see.

The peers are no dependency of anything else here, and some ask for a torchvision that would not fit torch's CPU build
and that they can do without. So they get an environment of their own:

    python3.11 -m venv build/peers && build/peers/bin/pip install torch==2.13.0
    build/peers/bin/pip install -c constraints.txt -e '.[worker,bench]'
    build/peers/bin/pip install --no-deps backpack-for-pytorch==1.7.1 nngeometry==0.4 \
        laplace-torch==0.3 curvlinops-for-pytorch==3.0.1
    build/peers/bin/python -m benchmarks.fisher

A peer that is not there is a row that says so. `ours` is what a registration of a million samples would use: with
its kernel, and compiled where that pays, which needs a C++ compiler, as `vmap_compiled` does; `ours_eager` is the same
engine without one. With `--quick` nothing is compiled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median, quantiles
from time import perf_counter
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from benchmarks.environment import REPOSITORY, environment
from benchmarks.fisher_alone import look, own, truth_of
from benchmarks.fisher_models import KINDS, ON_CUDA, Case, Kind
from benchmarks.fisher_registration import measure as registered
from benchmarks.fisher_rows import COMPILED, EAGER, OURS, PLAIN, ROWS, Ready

RESULTS = Path(__file__).parent / "results"
SLOW = 10  # times plain: such a row runs in the first rounds only
TIMEOUT_SECONDS = 1200  # for one row alone, compilation included
EXACT = 1e-4
"""Largest normwise error of float32 against float64, where no rounding has flipped a kink."""
LOOP, REGISTRATION = "loop", "registration"
PEERS = [row for row in ROWS if row not in {PLAIN, OURS, EAGER}]


class Effort(NamedTuple):
    """How much is run."""

    quick: bool
    rounds: int
    slow_rounds: int


FULL, QUICK = Effort(quick=False, rounds=24, slow_rounds=3), Effort(quick=True, rounds=3, slow_rounds=1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, store, print: a table, then the same figures as one line of JSON."""
    options = _options(arguments)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    began_in = environment(options.device)  # now: the commit may move while this runs
    effort = QUICK if options.quick else FULL
    kinds = {**KINDS, **(ON_CUDA if options.device == "cuda" else {})}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # so that compilation is measured, not remembered
        parts = options.only or ([REGISTRATION] if options.device == "cpu" else []) + [*kinds]
        registration = _registration(options.data / "fashion-mnist", effort) if REGISTRATION in parts else {}
        models = {name: measured(name, kinds[name], effort, options.device) for name in parts if name != REGISTRATION}
    figures = {"models": models, **registration}
    print(table(models))
    if not options.quick:
        store("fisher" if options.device == "cpu" else f"fisher-{options.device}", figures, parts, began_in)
    print(json.dumps(figures))


def store(stem: str, figures: Mapping[str, Any], parts: Sequence[str], began_in: Mapping[str, Any]) -> None:
    """Put the parts that were measured beside the others as they were, and draw all models."""
    path = RESULTS / f"{stem}.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    result |= {
        "claim": "the exact Fisher diagonal costs about one plain forward+backward",
        "inputs": "random, from a fixed seed; registration: Fashion-MNIST",
        **figures,
        "models": {**result.get("models", {}), **figures["models"]},
        "environment": {**result.get("environment", {}), **dict.fromkeys(parts, began_in)},
    }
    path.write_text(json.dumps(result, indent=1) + "\n")
    if find_spec("matplotlib"):
        plot(result["models"], path.with_suffix(".png"))


def measured(name: str, kind: Kind, effort: Effort, device: str) -> dict[str, Any]:
    """All figures of one model.

    Raises:
        RuntimeError: ours could not be run: that is no row, that is a defect.
    """
    case = kind.case(quick=effort.quick).on(device)
    seen = _looked_at(name, case, effort, device)
    for row in (PLAIN, OURS, EAGER):
        if "failed" in seen[row]:
            raise RuntimeError(f"{row} on {name}: {seen[row]['failed']}")
    able = [row for row in ROWS if "failed" not in seen[row]]
    times = timed({row: _ready(row, case, effort) for row in able}, effort, device)
    for row in able:
        seen[row] |= times[row]
        _say(f"{name} {row}: {times[row]['ratio']}")
    mine = seen[OURS]
    return {
        "batch": len(case.labels),
        "parameters": sum(p.numel() for p in case.network.parameters()),
        "ours": mine["ratio"],
        "ours_mean": mine["mean"],
        "ours_quartiles": mine["quartiles"],
        "ours_by": mine["by"],
        "ours_setup_seconds": mine["setup_seconds"],
        "ours_setup_peak_mib": mine["setup_peak_mib"],
        EAGER: seen[EAGER],
        "peak_mib": mine["peak_mib"],
        "plain_peak_mib": seen[PLAIN]["peak_mib"],
        "plain_seconds": seen[PLAIN]["seconds"],
        "max_normwise_error_fp32": mine["max_normwise_error"],
        "max_normwise_error_fp64": mine["max_normwise_error_fp64"],
    } | judged({row: seen[row] for row in PEERS})


def _ready(row: str, case: Case, effort: Effort) -> Ready:
    ready = ROWS[row](own(case))
    if ready.compile and not effort.quick:
        ready.compile()
    return ready


def judged(peers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Which peers are exact, and the fastest of them.

    Where rounding flips a ReLU, float32 is off by more than its digits, in the batch-size-1 loop too, which is the
    definition itself: nobody is called wrong who is off by no more than twice as much.
    """
    limit = max(EXACT, 2 * peers[LOOP]["max_normwise_error"])
    rows = {
        row: dict(seen)
        if "failed" in seen
        else {**seen, "exact": seen["max_normwise_error"] <= limit and not seen["missing_parameters"]}
        for row, seen in peers.items()
    }
    exact = {row: seen["ratio"] for row, seen in rows.items() if seen.get("exact")}
    best = min(exact, key=exact.__getitem__, default=None)
    return {"best_exact_peer": exact[best] if best else None, "best_exact_peer_name": best, "peers": rows}


def _looked_at(name: str, case: Case, effort: Effort, device: str) -> dict[str, dict[str, Any]]:
    """What each row takes and whether it is right: each in its own process, or in this one to be quick."""
    truth = truth_of(case)
    if effort.quick:
        left_out = {COMPILED: {"failed": "left out: compiling takes a minute"}}
        return {row: left_out.get(row) or look(row, case, truth, compiling=False) for row in ROWS}
    seen = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.safetensors"
        save_file({key: t.contiguous() for key, t in truth.items()}, path)
        for row in ROWS:
            seen[row] = _alone("fisher_alone", name, row, "--truth", str(path), "--device", device)
            _say(f"{name} {row}: {seen[row]}")
    return seen


def timed(rows: Mapping[str, Ready], effort: Effort, device: str) -> dict[str, dict[str, Any]]:
    """Seconds of every row in units of plain, interleaved.

    Args:
        rows: plain among them.
        effort: how many rounds.
        device: where they run.
    """
    first = {row: (_seconds(ready, device), _seconds(ready, device))[1] for row, ready in rows.items()}  # warm-up
    seconds: dict[str, list[float]] = {row: [] for row in rows}
    ratios: dict[str, list[float]] = {row: [] for row in rows}
    for number in range(effort.rounds):
        others = [row for row in rows if row != PLAIN]
        for row in others[number % len(others) :] + others[: number % len(others)]:
            if number < effort.slow_rounds or first[row] <= SLOW * first[PLAIN]:
                unit = _seconds(rows[PLAIN], device)
                seconds[PLAIN].append(unit)
                ratios[PLAIN].append(1.0)
                seconds[row].append(_seconds(rows[row], device))
                ratios[row].append(seconds[row][-1] / unit)
    return {
        row: {
            "ratio": round(median(values), 4),
            "mean": round(mean(values), 4),
            "quartiles": [round(q, 4) for q in quantiles(values, method="inclusive")] if len(values) > 1 else values,
            "rounds": len(values),
            "seconds": round(median(seconds[row]), 6),
        }
        for row, values in ratios.items()
    }


def _seconds(ready: Ready, device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    started = perf_counter()
    result = ready.run()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = perf_counter() - started
    del result
    return seconds


def _registration(folder: Path, effort: Effort) -> dict[str, Any]:
    seen = registered(folder, every=10) if effort.quick else _alone("fisher_registration", str(folder.resolve()))
    if "failed" in seen:
        raise RuntimeError(f"registration: {seen['failed']}")
    return seen


def _alone(script: str, *words: str) -> dict[str, Any]:
    """The JSON on the last line of a script of ours; `failed` where it dies or takes too long."""
    command = [sys.executable, "-m", f"benchmarks.{script}", *words]
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"takes more than {TIMEOUT_SECONDS} seconds"}
    if done.returncode:
        return {"failed": f"ends with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"}
    seen: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return seen


def table(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a line for each row, a column for each model; `time × plain (peak MiB)`, or what is wrong."""
    lines = [["", *models], ["---"] * (1 + len(models))]
    lines.append([PLAIN, *(f"1 ({m['plain_peak_mib']:.0f})" for m in models.values())])
    lines.append([f"**{OURS}**", *(f"**{m['ours']:.2f}** ({m['peak_mib']:.0f})" for m in models.values())])
    lines.append([EAGER, *(f"{m[EAGER]['ratio']:.2f} ({m[EAGER]['peak_mib']:.0f})" for m in models.values())])
    lines += [[row, *(_cell(m["peers"][row]) for m in models.values())] for row in PEERS]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(seen: Mapping[str, Any]) -> str:
    if "failed" in seen:
        how = str(seen["failed"]).split(":")[0]
        return how if how.startswith(("not installed", "left out")) else f"fails ({how})"
    text = f"{seen['ratio']:.2f} ({seen['peak_mib']:.0f})"
    if seen["missing_parameters"]:
        text += f", passes over {seen['missing_parameters']} parameters"
    if not (seen["exact"] or seen["missing_parameters"]):
        text += f", wrong by {seen['max_normwise_error']:.1g}"
    return text


def plot(models: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Bars of the time ratios, one panel for each model; a peer that is not exact is pale."""
    figure = import_module("matplotlib.figure").Figure(figsize=(4 * len(models), 4), layout="constrained")
    for axes, (name, model) in zip(figure.subplots(1, len(models), squeeze=False)[0], models.items(), strict=True):
        bars = {OURS: (model["ours"], "tab:green"), EAGER: (model[EAGER]["ratio"], "lightgreen")}
        for row, seen in model["peers"].items():
            if "ratio" in seen:
                bars[row] = (seen["ratio"], "tab:blue" if seen["exact"] else "lightgrey")
        axes.barh(list(bars), [ratio for ratio, _ in bars.values()], color=[colour for _, colour in bars.values()])
        axes.bar_label(axes.containers[0], [f"{ratio:.2f}" for ratio, _ in bars.values()], padding=2)
        axes.axvline(1, color="black", linewidth=0.8)
        limit = 3 * max(ratio for ratio, _ in bars.values())
        ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick < limit]
        axes.set(title=name, xscale="log", xlim=(0.5, limit))
        axes.set_xticks(ticks, map(str, ticks))
        axes.set_xticks([], minor=True)
        axes.invert_yaxis()
    figure.supxlabel("time / plain forward+backward (grey: not exact)")
    figure.savefig(path, dpi=120)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fisher", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small batches, few rounds; nothing is stored")
    only = "only these; what is stored of the others stays"
    parser.add_argument("--only", nargs="+", choices=[REGISTRATION, *KINDS, *ON_CUDA], help=only)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cuda: two large networks more")
    data = Path(os.environ.get("UNLEARN_BENCH_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with fashion-mnist/")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
