"""The `unlearn` command: make a home, serve it, look after its database, check a report."""

import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import select

from app.commands import audit_log as audit_log_commands
from app.commands import keys as keys_commands
from app.commands.home import DEFAULT_HOME, Home, err, use
from app.commands.keys import enrol_own
from app.commands.verify import verify
from app.core import schema
from app.core.db import transaction
from app.core.ids import new_id
from app.core.settings import SETTINGS_FILE, get_settings
from app.core.signing import new_signing_key
from app.keys import service as keys
from app.tables import Tenant

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Make deployed classifiers forget, and show what was done."
)
database = typer.Typer(no_args_is_help=True, help="Look after the database.")
app.add_typer(database, name="db")
app.add_typer(keys_commands.app, name="keys")
app.add_typer(audit_log_commands.app, name="audit-log")
app.command()(verify)

TENANT = "default"
PASSED_ON: dict[str, Any] = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,  # `--help` is passed on too
}


@app.command()
def init(
    home: Home = DEFAULT_HOME,
    data_prefix: Annotated[
        list[Path] | None, typer.Option(help="A folder below which data sets and weights may lie; repeatable.")
    ] = None,
) -> None:
    """Make the home folder with random secrets and print the first admin API key, once."""
    settings_file = home / SETTINGS_FILE
    if settings_file.exists():
        err.print(f"{settings_file} exists already; a home is made once. Remove it by hand to start anew.")
        raise typer.Exit(1)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = {
        "UNLEARN_SECRET_KEY": secrets.token_urlsafe(48),
        "UNLEARN_SIGNING_KEY": new_signing_key(),
        "UNLEARN_DATA_PREFIXES": json.dumps([str(prefix.resolve()) for prefix in data_prefix or []]),
    }
    settings_file.touch(mode=0o600)
    settings_file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    use(home)
    schema.upgrade()
    key = _first_key()
    enrol_own(home)
    err.print(f"Made {home}. The admin API key follows; it is shown this once:")
    typer.echo(key)


@app.command()
def serve(
    home: Home = DEFAULT_HOME,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Run the service; with the local executor (the default) its dispatcher and scheduler too. Ctrl-C ends them all."""
    import uvicorn  # noqa: PLC0415 - the other commands need not pay for it

    from app.embedded import SCHEDULER, Companion, Dispatcher  # noqa: PLC0415 - likewise
    from app.main import create_app  # noqa: PLC0415 - likewise

    use(home)
    if not schema.is_current():
        err.print("The database is not at the newest migration: run `unlearn db upgrade` first.")
        raise typer.Exit(1)
    err.print(f"unlearnd listens on http://{host}:{port}, its documentation is at /docs. Ctrl-C ends it.")
    with ExitStack() as companions:
        if get_settings().executor == "local":
            companions.enter_context(Dispatcher())
            companions.enter_context(Companion(SCHEDULER))
        uvicorn.run(create_app(), host=host, port=port, log_level="warning", timeout_graceful_shutdown=5)


@app.command()
def scheduler(
    home: Home = DEFAULT_HOME,
    with_parent: Annotated[bool, typer.Option("--with-parent", help="End with the standard input.")] = False,  # noqa: FBT002
) -> None:
    """Do what must be done again and again: take back jobs of dead workers, announce, sweep, watch deadlines.

    `unlearn serve` starts one by itself where the executor is local. Of several, one works and the others wait.
    """
    from app.scheduler import run  # noqa: PLC0415 - the other commands need not pay for it

    use(home)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if with_parent:
        threading.Thread(target=_until_the_end_of_stdin, args=(stop,), daemon=True).start()
    run(stop)


def _until_the_end_of_stdin(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not through sys.stdin: its lock, held at the end, aborts the process
        pass
    stop.set()


@app.command(**PASSED_ON)
def demo(context: typer.Context) -> None:
    """Show the main job on real data: register, forget three times, read the reports. `--help` lists its options."""
    raise typer.Exit(_in_worker("demo", context))


@app.command(**PASSED_ON)
def demo_data(context: typer.Context) -> None:
    """Write a small data set, real images, and the documents that `unlearn train` asks for."""
    raise typer.Exit(_in_worker("demo_data", context))


@app.command(**PASSED_ON)
def train(context: typer.Context) -> None:
    """Train a network by a recipe: writes everything that registration takes. `--help` lists its options."""
    raise typer.Exit(_in_worker("train", context))


@app.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from app.main import create_app  # noqa: PLC0415 - the other commands need not pay for it

    typer.echo(json.dumps(create_app().openapi(), indent=2, sort_keys=True))


@database.command("upgrade")
def upgrade(home: Home = DEFAULT_HOME) -> None:
    """Bring the database to the newest migration; make the first tenant and key if there are none."""
    use(home)
    schema.upgrade()
    with transaction() as session:
        fresh = session.scalar(select(Tenant.id).limit(1)) is None
    if fresh:
        err.print("The database is new. The admin API key follows; it is shown this once:")
        typer.echo(_first_key())
    enrol_own(home)


def main() -> None:
    """Entry point."""
    app()


def _in_worker(module: str, context: typer.Context) -> int:
    """Run a module of the worker as a process of its own: nothing here needs torch."""
    if find_spec("torch") is None:
        err.print("This needs the extra `worker`: pip install 'unlearnd[worker]'.", markup=False)
        return 1
    return subprocess.call([sys.executable, "-m", f"worker.{module}", *context.args])


def _first_key() -> str:
    with transaction() as session:
        tenant = Tenant(id=new_id("tn"), name=TENANT)
        session.add(tenant)
        session.flush()
        _, plaintext = keys.create(session, tenant_id=tenant.id, name="admin", scopes=["*"])
    return plaintext


if __name__ == "__main__":
    main()
