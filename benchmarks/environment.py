"""Where a benchmark ran: enough to judge its seconds, nothing that names a machine or a person."""

import os
import platform
import subprocess
from pathlib import Path

import torch

from worker.numerics.device import device_name

REPOSITORY = Path(__file__).parent.parent


def environment(device: str | None = None) -> dict[str, str | int]:
    """Versions, device, processor, cores and threads in use, and the commit that ran (`+` where files were changed).

    Args:
        device: `cpu` if only that was used; by default the one that networks work on.
    """
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": "cpu" if device == "cpu" else device_name(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("diff", "--name-only", "HEAD") else ""),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()
