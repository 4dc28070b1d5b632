"""How long a forget request waits on the embedded service: from POST to `running`, and to the first step of its job."""

import argparse
import json
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal

import httpx
import torch

from benchmarks import stack
from benchmarks.environment import environment
from worker import demo, demo_data

RESULT = Path(__file__).parent / "results" / "latency.json"
REQUESTS = 20
IDLE_SECONDS = 4.0
"""Between two requests, so that each meets an idle service."""
METHOD = {"name": "rld", "epochs": 1}


def main() -> None:
    """Submit requests one after the other, read the times that the service wrote down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five requests")
    requests = 5 if parser.parse_args().quick else REQUESTS
    with tempfile.TemporaryDirectory() as folder:
        waits = measure(Path(folder), requests)
    figures = {
        "requests": requests,
        "post_to_running_median_seconds": median(w["running"] for w in waits),
        "post_to_running_max_seconds": max(w["running"] for w in waits),
        "post_to_first_step_median_seconds": median(w["first_step"] for w in waits),
        "environment": environment(),
    }
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures))


def measure(folder: Path, requests: int, *, executor: Literal["local", "celery"] = "local") -> list[dict[str, float]]:
    """Seconds from just before the POST to `running` and to the first progress event, for each request."""
    pictures = demo.planted(demo_data.digits())
    demo_data.write_manifest(pictures, folder / "data" / "pictures.parquet")
    architecture = demo.architecture_of(demo.DIGITS, pictures)
    weights, normalisation = demo.train_classifier(demo.DIGITS, architecture, pictures, folder)
    positions = pictures.train.nonzero().flatten()[:requests]
    opened = stack.local if executor == "local" else stack.celery
    with (
        opened(folder / "home", prefix=folder / "data") as running,
        httpx.Client(base_url=running.url, headers=running.headers) as http,
    ):
        client = demo.Client(http)
        client.register(folder / "data" / "pictures.parquet", architecture, normalisation, demo.DIGITS.recipe, weights)
        return [wait_of(client, torch.tensor([position])) for position in positions.tolist()]


def wait_of(client: demo.Client, position: torch.Tensor) -> dict[str, float]:
    """One request on an idle service: no job runs or waits, and the fork server has had time to start."""
    while any(client.call("GET", "/jobs", params={"status": s}).json()["data"] for s in ("queued", "running")):
        time.sleep(0.1)
    time.sleep(IDLE_SECONDS)
    target = {"kind": "samples", "dataset": "pictures", "sample_ids": demo_data.sample_ids(position)}
    wish = {"model": "reader", "target": target, "method": METHOD}
    posted = time.time()
    job_id = client.call("POST", "/forget-requests", json=wish).json()["job_id"]
    while not client.call("GET", f"/jobs/{job_id}").json()["final"]:
        time.sleep(0.1)
    events = client.call("GET", f"/jobs/{job_id}/events", params={"limit": 100}).json()["data"]
    running = next(e for e in events if e["type"] == "status" and e["data"]["status"] == "running")
    step = next(e for e in events if e["type"] == "progress")
    return {"running": _seconds(running) - posted, "first_step": _seconds(step) - posted}


def _seconds(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()


if __name__ == "__main__":
    main()
