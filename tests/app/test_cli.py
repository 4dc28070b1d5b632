"""The `unlearn` command: a home is made once, a report is believed only as it was signed."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.core import schema
from app.core.db import engine_for, transaction
from app.core.settings import get_settings
from app.core.signing import new_signing_key, public_key_of, sign
from app.keys.service import authenticate

KEY = new_signing_key()
BODY = {"verdict": "inconclusive", "summary": ["Nothing is sure."], "limits": ["Not a proof."]}


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


def report(tmp_path: Path, **changed: Any) -> str:
    envelope = sign({"predicate": BODY}, KEY)
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"body": BODY, "verdict": "inconclusive", "envelope": envelope, **changed}))
    return str(path)


def test_a_report_as_signed_is_valid_and_says_what_it_does_not_prove(tmp_path: Path) -> None:
    told = run("verify", report(tmp_path), "--key", public_key_of(KEY))
    assert told.exit_code == 0
    assert "Not a proof." in told.stdout


@pytest.mark.parametrize(
    "changed",
    [{"verdict": "pass"}, {"body": {**BODY, "verdict": "pass"}}, {"envelope": {}}, {"envelope": sign({}, KEY)}],
    ids=["verdict", "body", "no envelope", "another statement"],
)
def test_a_changed_report_is_not_valid(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert run("verify", report(tmp_path, **changed), "--key", public_key_of(KEY)).exit_code == 1


def test_a_report_signed_by_another_is_not_valid(tmp_path: Path) -> None:
    assert run("verify", report(tmp_path), "--key", public_key_of(new_signing_key())).exit_code == 1


def test_what_is_no_report_is_not_valid(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(b"\x00 no report")
    assert run("verify", str(path), "--key", public_key_of(KEY)).exit_code == 1


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
