"""A real service for journeys: `unlearn serve` and, with the celery executor, a real worker."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx

from tests.conftest import Home

PATIENCE_SECONDS = 120


class Api:
    """A user of the service."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def call(self, method: str, path: str, status: int, **more: Any) -> Any:
        """One request that must be answered with this status; its JSON."""
        response = self.http.request(method, path, **more)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    def finished(self, job_id: str) -> Any:
        """The job, once it is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (job := self.call("GET", f"/jobs/{job_id}", 200))["final"]:
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
        return job

    def succeeded(self, job_id: str) -> None:
        """Wait for the job; it must succeed."""
        job = self.finished(job_id)
        assert job["status"] == "succeeded", job

    def deploy(self, model: str, version_id: str) -> None:
        """Point the alias to a version that is ready and has its Fisher diagonal."""
        self.succeeded(self.call("GET", f"/models/{model}/versions/{version_id}", 200)["job_id"])
        alias = self.http.get(f"/models/{model}/aliases/deployed")
        headers = {"If-Match": alias.headers["ETag"]} if alias.is_success else {}
        response = self.http.put(f"/models/{model}/aliases/deployed", json={"version": version_id}, headers=headers)
        assert response.is_success, response.text

    def forget(self, **wish: Any) -> Any:
        """Submit, wait for success; the completed request."""
        accepted = self.call("POST", "/forget-requests", 202, json=wish)
        self.succeeded(accepted["job_id"])
        request = self.call("GET", f"/forget-requests/{accepted['id']}", 200)
        assert request["status"] == "completed"
        return request

    def report(self, request: Any) -> Any:
        """The audit report of a completed request."""
        return self.call("GET", f"/audit-reports/{request['audit_report_id']}", 200)


@contextlib.contextmanager
def running(home: Home, key: str, *, celery: bool) -> Iterator[Api]:
    """The service on a free port, ended as Ctrl-C ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    commands = [["-m", "app.cli", "serve", "--home", str(home.path), "--port", str(port)]]
    if celery:
        commands.append(["-m", "app.cli", "scheduler", "--home", str(home.path)])
        commands.append(
            ["-m", "celery", "-A", "worker.main", "worker", "--pool", "threads", "--concurrency", "1", "-l", "warning"]
        )
    with contextlib.ExitStack() as stack:
        for words in commands:
            stack.enter_context(_process([sys.executable, *words]))
        headers = {"Authorization": f"Bearer {key}"}
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30))
        _wait(http)
        yield Api(http)


@contextlib.contextmanager
def _process(words: list[str]) -> Iterator[None]:
    process = subprocess.Popen(words, env=os.environ.copy())
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _wait(http: httpx.Client) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if http.get("/readyz").is_success:
                return
        time.sleep(0.1)
    raise AssertionError("the service did not come up")
