"""The home folder, as every command takes it."""

import os
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from app.core.settings import HOME_VARIABLE, get_settings

err = Console(stderr=True)
out = Console()

DEFAULT_HOME = Path(".unlearn")
KEYS_FILE = "signing-keys.json"
"""What `GET /signing-keys` answers, kept beside the settings so that `unlearn verify` finds it."""

Home = Annotated[
    Path, typer.Option(envvar=HOME_VARIABLE, help="The folder of everything the service writes.", file_okay=False)
]


def use(home: Path) -> None:
    """Settings of this home, or what is wrong with them."""
    os.environ[HOME_VARIABLE] = str(home.resolve())
    get_settings.cache_clear()
    try:
        get_settings()
    except ValidationError as problem:
        wrong = "; ".join(f"UNLEARN_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in problem.errors())
        err.print(f"{home} has no complete settings ({wrong}). `unlearn init --home {home}` makes a home.")
        raise typer.Exit(1) from problem
