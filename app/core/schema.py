"""The schema of the database: bring it to the newest migration, and say whether it is there."""

from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.core.db import reading


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(str(files("migrations")))))
    return config


def upgrade() -> None:
    """Run every migration that is missing, up to the newest."""
    command.upgrade(_config(), "head")


def is_current() -> bool:
    """Whether the database is at the newest migration."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    with reading() as session:  # the service starts also while somebody holds SQLite's write lock
        return MigrationContext.configure(session.connection()).get_current_revision() == newest
