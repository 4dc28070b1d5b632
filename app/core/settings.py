"""Settings: few, frozen, read once. `UNLEARN_*` in the environment wins over `unlearn.env` in the home folder."""

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

HOME_VARIABLE = "UNLEARN_HOME"
SETTINGS_FILE = "unlearn.env"


class Settings(BaseSettings):
    """What an operator decides. Secrets have no default: `unlearn init` writes random ones."""

    model_config = SettingsConfigDict(env_prefix="UNLEARN_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    home: Path
    """The folder of everything the service writes: artifacts, runs, keys and, embedded, the database."""
    secret_key: SecretStr = Field(min_length=32)
    """Keys the HMACs of API keys and of identities in the audit log."""
    signing_key: SecretStr = Field(min_length=43)
    """Ed25519 private key of the reports, 32 bytes in URL-safe base64."""
    database_url: str = ""
    """SQLAlchemy URL; by default SQLite in the home folder."""
    executor: Literal["local", "celery"] = "local"
    """`local`: a dispatcher process started by `unlearn serve`. `celery`: workers that listen to Redis."""
    redis_url: str = ""
    """The broker of the celery executor."""
    data_prefixes: list[Path] = []
    """Folders below which data sets and weights may lie; none by default, then only uploads are accepted."""
    webhook_hosts: list[str] = []
    """Hosts that webhooks may lie on, with the port if it is an unusual one; none by default."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    """Jobs at once on one worker machine."""
    lease_seconds: Annotated[float, Field(ge=1)] = 30
    """A job whose worker has not renewed its lease for so long is given to another."""
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 3
    """Starts of a job before it is given up as lost. Those that others ended, as a full disk does, are free."""
    soft_limit_seconds: Annotated[float, Field(gt=0)] = 7 * 86_400
    """A job that has worked for so long, in all its attempts, is told to stop, and fails."""
    hard_limit_seconds: Annotated[float, Field(gt=0)] = 7 * 86_400 + 60
    """Then it is killed, if it has not stopped."""
    memory_limit_bytes: Annotated[int | None, Field(ge=100_000_000)] = None
    """Resident memory of a job's processes. One that exceeds it is killed, and tried once more with less at a time."""
    fisher_shards: Annotated[int, Field(ge=1, le=64)] = 1
    """Jobs that share the pass over the training data for a new version's Fisher diagonal."""
    coalesce_most: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Forget requests that one job carries out together, at most."""
    coalesce_wait_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0
    """How long a job waits for more requests to join it; by default it starts as soon as a worker is free."""
    body_limit_bytes: Annotated[int, Field(ge=1024)] = 2_000_000
    """Largest body of any request but an upload of weights."""
    upload_limit_bytes: Annotated[int, Field(ge=1024)] = 8_000_000_000
    """Largest upload of weights."""
    memory_budget_bytes: Annotated[int, Field(ge=1_000_000)] = 2_000_000_000
    """Decoded inputs up to this size are kept in memory during a job; larger sets are streamed."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.executor == "celery" and not self.redis_url:
            raise ValueError("UNLEARN_EXECUTOR=celery needs UNLEARN_REDIS_URL")
        if self.executor == "celery" and self.database.startswith("sqlite"):
            raise ValueError("UNLEARN_EXECUTOR=celery needs a PostgreSQL UNLEARN_DATABASE_URL")
        if self.hard_limit_seconds <= self.soft_limit_seconds:
            raise ValueError("UNLEARN_HARD_LIMIT_SECONDS must exceed UNLEARN_SOFT_LIMIT_SECONDS")
        return self

    @property
    def database(self) -> str:
        """The URL in force."""
        return self.database_url or f"sqlite:///{self.home / 'unlearn.db'}"

    @property
    def storage(self) -> Path:
        """Published artifacts."""
        return self.home / "storage"

    @property
    def runs(self) -> Path:
        """Private folders of attempts: `runs/<job>/<fence>/`."""
        return self.home / "runs"


@cache
def get_settings() -> Settings:
    """The settings of this process, from `$UNLEARN_HOME/unlearn.env` and the environment.

    Raises:
        ValidationError: a value is missing, wrong, or contradicts another one.
    """
    return read_settings()


def read_settings() -> Settings:
    """The settings as they stand now: for the one value that may change under a running process, the signing key."""
    home = Path(os.environ.get(HOME_VARIABLE, ".unlearn")).resolve()
    return Settings(home=home, _env_file=home / SETTINGS_FILE)
