"""The README's example of a model that is trained, registered and made to forget, word for word."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def block_under(heading: str) -> str:
    """The first shell block below a heading."""
    below = (ROOT / "README.md").read_text().split(f"### {heading}\n", 1)[1]
    found = re.search(r"```sh\n(.*?)```", below, re.DOTALL)
    assert found
    return found.group(1)


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs bash and curl")
def test_a_model_is_trained_and_forgets_as_the_readme_says(tmp_path: Path) -> None:
    command = tmp_path / ".venv" / "bin" / "unlearn"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m app.cli "$@"\n')
    command.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    script = block_under("Train a model that can forget").replace("8001", port)
    stop = "trap 'kill $SERVICE 2>/dev/null; wait' EXIT\n"  # whatever fails, no service is left behind
    environment = {k: v for k, v in os.environ.items() if not k.startswith("UNLEARN_")} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", stop + script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VALID: report ar_" in done.stdout
    body = json.loads((tmp_path / "build" / "digits" / "report.json").read_text())["body"]
    accuracy = next(f for f in body["findings"] if f["measure"] == "accuracy" and f["on"] == "test_forget")
    assert accuracy["before"] > 0.8
    assert accuracy["after"] < 0.1
