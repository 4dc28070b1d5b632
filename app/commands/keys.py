"""`unlearn keys`: list, rotate and revoke the keys that sign audit reports."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from app.commands.home import DEFAULT_HOME, KEYS_FILE, Home, err, out, use
from app.core.db import reading, transaction
from app.core.errors import Problem
from app.core.settings import SETTINGS_FILE, read_settings
from app.core.signing import new_signing_key, public_key_of
from app.signing_keys import service

app = typer.Typer(no_args_is_help=True, help="The keys that sign audit reports.")
VARIABLE = "UNLEARN_SIGNING_KEY"


@app.command("list")
def list_keys(home: Home = DEFAULT_HOME) -> None:
    """Every key that ever signed, newest first."""
    use(home)
    with reading() as session:
        found = service.listing(session)
    for key in found.keys:
        end = f" until {key.not_after:%Y-%m-%d %H:%M}" if key.not_after else ""
        reason = f": {key.revocation_reason}" if key.revocation_reason else ""
        line = f"{key.key_id}  {key.state}  from {key.not_before:%Y-%m-%d %H:%M}{end}{reason}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def export(home: Home = DEFAULT_HOME) -> None:
    """Print what GET /signing-keys answers: give it to whoever shall verify reports offline."""
    use(home)
    with reading() as session:
        typer.echo(service.listing(session).model_dump_json(indent=2))


@app.command()
def rotate(
    home: Home = DEFAULT_HOME,
    overlap_days: Annotated[float, typer.Option(min=0, help="How long the old key may still sign.")] = 7,
) -> None:
    """Make a new signing key; what the old ones signed stays valid."""
    use(home)
    if VARIABLE in os.environ:
        err.print(
            f"The key comes from the environment: set {VARIABLE} there to a new one (32 random bytes in URL-safe"
            " base64) and restart. The old one retires when the new one is first seen."
        )
        raise typer.Exit(1)
    private = new_signing_key()
    with transaction() as session:
        service.enrol(session, public_key_of(read_settings().signing_key.get_secret_value()))
        key = service.enrol(session, public_key_of(private), overlap=timedelta(days=overlap_days))
        _replace_in_settings(home / SETTINGS_FILE, private)  # last: if it fails, nothing was rotated
    write_keys_file(home)
    out.print(f"{key.id} signs from now on.", highlight=False, soft_wrap=True)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The id of the key, or its beginning.")],
    reason: Annotated[str, typer.Option(help="Shown to everybody who verifies a report that it signed.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Refuse everything that a key signed: it was stolen, or nobody knows."""
    use(home)
    try:
        with transaction() as session:
            row = service.revoke(session, key, reason=reason)
    except Problem as problem:
        err.print(problem.detail)
        raise typer.Exit(1) from problem
    write_keys_file(home)
    out.print(f"{row.id} is revoked.", highlight=False, soft_wrap=True)


def enrol_own(home: Path) -> None:
    """Write down the key of the settings, so that it can be fetched before the first report is signed."""
    with transaction() as session:
        service.enrol(session, public_key_of(read_settings().signing_key.get_secret_value()))
    write_keys_file(home)


def write_keys_file(home: Path) -> None:
    """Keep what `unlearn verify` needs beside the settings."""
    with reading() as session:
        (home / KEYS_FILE).write_text(service.listing(session).model_dump_json(indent=2) + "\n")


def _replace_in_settings(file: Path, private: str) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith(f"{VARIABLE}=")]
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text("".join(f"{line}\n" for line in [*lines, f"{VARIABLE}={private}"]))
    fresh.replace(file)
