"""The `unlearn` command: a home is made once, a report is believed only as it was signed."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from app.cli import app
from app.core import schema
from app.core.db import engine_for, transaction
from app.core.settings import get_settings
from app.core.signing import new_signing_key, public_key_of
from app.keys.service import authenticate
from app.signing_keys.schemas import SigningKeysOut
from app.tables import AuditLogEntry, Lease
from app.tables.base import utcnow
from tests.app.audit_reports.material import signed

KEY = new_signing_key()
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("UNLEARN_HOME", "set by the command")
    yield
    engine_for.cache_clear()
    get_settings.cache_clear()


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_init_makes_a_home_that_serves_and_prints_a_key_that_opens_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = run("init", "--home", str(home), "--data-prefix", str(tmp_path))
    assert made.exit_code == 0, made.output
    key = made.stdout.strip()
    assert schema.is_current()
    with transaction() as session:
        found = authenticate(session, key)
        assert found is not None
        assert found.scopes == ["*"]
    assert key not in "".join(p.read_text(errors="replace") for p in home.iterdir() if p.is_file())
    assert (home / "unlearn.env").stat().st_mode & 0o077 == 0
    engine_for(get_settings().database).dispose()


def test_a_home_is_made_once(tmp_path: Path) -> None:
    assert run("init", "--home", str(tmp_path)).exit_code == 0
    before = (tmp_path / "unlearn.env").read_text()
    assert run("init", "--home", str(tmp_path)).exit_code == 1
    assert (tmp_path / "unlearn.env").read_text() == before
    engine_for(get_settings().database).dispose()


@pytest.mark.parametrize(("command", "module"), [("train", "train"), ("demo-data", "demo_data"), ("demo", "demo")])
def test_what_trains_is_run_in_the_worker_with_all_that_was_said(
    monkeypatch: pytest.MonkeyPatch, command: str, module: str
) -> None:
    called: list[list[str]] = []

    def call(words: list[str]) -> int:
        called.append(words)
        return 7

    monkeypatch.setattr("app.cli.subprocess.call", call)
    assert run(command, "d.json", "--out", "x", "--help").exit_code == 7
    assert called == [[sys.executable, "-m", f"worker.{module}", "d.json", "--out", "x", "--help"]]


def test_without_the_workers_extra_it_is_said_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.find_spec", lambda _: None)
    refused = run("train", "d.json")
    assert refused.exit_code == 1
    assert "unlearnd[worker]" in refused.output


def report(tmp_path: Path, content: bytes | None = None) -> str:
    path = tmp_path / "report.json"
    path.write_bytes(signed(KEY) if content is None else content)
    return str(path)


def made_home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    assert run("init", "--home", str(home)).exit_code == 0
    return home


def sign_with(home: Path, tmp_path: Path) -> str:
    """A report of now, by the key that the home has."""
    private = next(
        line.partition("=")[2] for line in (home / "unlearn.env").read_text().splitlines() if "SIGNING_KEY" in line
    )
    return report(tmp_path, signed(private, made_at=datetime.now(UTC).isoformat()))


def test_a_report_as_signed_is_valid_and_says_what_it_does_not_prove(tmp_path: Path) -> None:
    told = run("verify", report(tmp_path), "--key", public_key_of(KEY))
    assert told.exit_code == 0
    for sentence in ("What is proven", "What is not proven", "not a proof of erasure"):
        assert sentence in told.stdout


def test_a_changed_report_is_not_valid(tmp_path: Path) -> None:
    told = run("verify", report(tmp_path, signed(KEY).replace(b"0.87", b"0.57")), "--key", public_key_of(KEY))
    assert told.exit_code == 1
    assert "NOT VALID (altered)" in told.stderr


@pytest.mark.parametrize(("content", "code"), [(signed(KEY)[:-1], "truncated"), (b"\x00 no report", "altered")])
def test_what_is_no_report_is_not_valid(tmp_path: Path, content: bytes, code: str) -> None:
    told = run("verify", report(tmp_path, content), "--key", public_key_of(KEY))
    assert (told.exit_code, f"NOT VALID ({code})" in told.stderr) == (1, True)


def test_a_report_signed_by_another_is_not_valid(tmp_path: Path) -> None:
    told = run("verify", report(tmp_path), "--key", public_key_of(new_signing_key()))
    assert (told.exit_code, "wrong_key" in told.stderr) == (1, True)


def test_what_is_no_key_is_said_to_be_none(tmp_path: Path) -> None:
    assert run("verify", report(tmp_path), "--key", "no key").exit_code == 2


def test_verifying_needs_no_home_no_settings_no_database_and_no_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "for name in ('torch', 'numpy', 'matplotlib', 'worker'): sys.modules[name] = None\n"
        "import sqlalchemy.engine.create as c\n"
        "c.create_engine = None\n"
        "from app.cli import main\nmain()"
    )
    words = [sys.executable, "-c", script, "verify", report(tmp_path), "--key", public_key_of(KEY)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNLEARN_")}
    done = subprocess.run(
        words, cwd=tmp_path, env={**clean, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("VALID")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json"]


def test_a_report_outlives_the_rotation_of_its_key_but_not_its_revocation(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    path = sign_with(home, tmp_path)
    assert run("verify", path, "--home", str(home)).exit_code == 0
    old = (home / "unlearn.env").read_text()
    assert run("keys", "rotate", "--home", str(home)).exit_code == 0
    assert (home / "unlearn.env").read_text() != old
    assert (home / "unlearn.env").stat().st_mode & 0o077 == 0
    assert run("verify", path, "--home", str(home)).exit_code == 0
    ring = SigningKeysOut.model_validate_json(run("keys", "export", "--home", str(home)).stdout)
    assert [key.state for key in ring.keys] == ["active", "retired"]
    retired = ring.keys[1].key_id
    assert run("keys", "revoke", ring.keys[0].key_id, "--reason", "x", "--home", str(home)).exit_code == 1
    assert run("keys", "revoke", retired[:10], "--reason", "laptop stolen", "--home", str(home)).exit_code == 0
    told = run("verify", path, "--home", str(home))
    assert (told.exit_code, "key_revoked" in told.stderr, "laptop stolen" in told.stderr) == (1, True, True)
    assert "revoked" in run("keys", "list", "--home", str(home)).stdout
    assert run("verify", sign_with(home, tmp_path), "--home", str(home)).exit_code == 0
    engine_for(get_settings().database).dispose()


def test_the_audit_log_is_verified_by_a_command(tmp_path: Path) -> None:
    home = made_home(tmp_path)
    told = run("audit-log", "verify", "--home", str(home))
    assert (told.exit_code, "entries hold" in told.stdout) == (0, True)
    with transaction() as session:
        session.execute(update(AuditLogEntry).where(AuditLogEntry.number == 1).values(actor="somebody_else"))
    told = run("audit-log", "verify", "--home", str(home))
    assert (told.exit_code, "BROKEN from entry 1" in told.stderr) == (1, True)
    engine_for(get_settings().database).dispose()


def test_a_key_from_the_environment_is_not_rotated_behind_its_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = made_home(tmp_path)
    monkeypatch.setenv("UNLEARN_SIGNING_KEY", new_signing_key())
    told = run("keys", "rotate", "--home", str(home))
    assert (told.exit_code, "UNLEARN_SIGNING_KEY" in told.stderr) == (1, True)
    engine_for(get_settings().database).dispose()


def test_serving_an_old_database_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("init", "--home", str(tmp_path)).exit_code == 0
    monkeypatch.setattr(schema, "is_current", lambda: False)
    told = run("serve", "--home", str(tmp_path))
    assert told.exit_code == 1
    assert "unlearn db upgrade" in told.stderr
    engine_for(get_settings().database).dispose()


def test_serving_where_there_is_no_home_says_what_to_do(tmp_path: Path) -> None:
    told = run("serve", "--home", str(tmp_path / "nothing"))
    assert told.exit_code == 1
    assert "unlearn init" in told.stderr


@pytest.mark.parametrize("end", ["SIGTERM", "stdin"])
def test_the_scheduler_holds_its_lease_until_it_is_ended(tmp_path: Path, end: str) -> None:
    home = made_home(tmp_path)
    command = (sys.executable, "-m", "app.cli", "scheduler", "--home", str(home), "--with-parent")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        while (lease := held()) is None:
            assert process.poll() is None
            time.sleep(0.02)
        assert lease.lease_until > utcnow()
        if end == "SIGTERM":
            process.terminate()
        else:
            process.stdin.close()  # what the kernel does when the parent is killed
        assert process.wait(60) == 0
    left = held()
    assert left is not None
    assert left.lease_until <= utcnow()
    engine_for(get_settings().database).dispose()


def held() -> Lease | None:
    with transaction() as session:
        return session.get(Lease, "scheduler")
