"""Files of what is purged are gone in the end, whoever is killed on the way."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.purges import files
from app.purges.files import destroy_purged
from app.scheduler import DUTIES
from tests.app.purges.purging import entries, folder, forgotten, idle, purged, row
from tests.app.web.rig import Rig

KILLED_AFTER_ONE = """
import os, signal
from pathlib import Path
from app.purges.files import destroy_purged

unlink = Path.unlink

def once(path, **options):
    unlink(path, **options)
    os.kill(os.getpid(), signal.SIGKILL)

Path.unlink = once
destroy_purged()
"""


def weights_of(rig: Rig, version: str) -> Path:
    return folder(rig, version) / "weights.safetensors"


def test_a_process_that_is_killed_between_two_files_leaves_the_rest_to_the_next(api: Rig) -> None:
    base, _ = forgotten(api)
    purged(api, base)
    killed = subprocess.run([sys.executable, "-c", KILLED_AFTER_ONE], check=False)
    assert killed.returncode == -9
    assert len(list(folder(api, base).iterdir())) == 3
    assert row(base).destroyed_at is None
    destroy_purged()
    assert [path.name for path in folder(api, base).iterdir()] == ["initial.safetensors"]
    assert row(base).destroyed_at is not None
    assert [entry.action for entry in entries(base)].count("version.destroyed") == 1


def test_one_that_cannot_be_destroyed_delays_no_other_and_is_tried_again(
    lone: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    base, _ = forgotten(lone)
    other = lone.version()
    for version in (base, other):
        idle(version)
        purged(lone, version)
    destroy = files._destroy

    def stubborn(paths: list[Path]) -> list[dict[str, str]]:
        if weights_of(lone, base) in paths:
            raise PermissionError("read-only")
        return destroy(paths)

    with monkeypatch.context() as readonly:
        readonly.setattr(files, "_destroy", stubborn)
        destroy_purged()
    assert "cannot be destroyed" in caplog.text
    assert (row(base).destroyed_at, row(other).destroyed_at is None) == (None, False)
    destroy_purged()
    assert row(base).destroyed_at is not None


def test_what_is_not_purged_stays(lone: Rig) -> None:
    base, _ = forgotten(lone)
    destroy_purged()
    assert weights_of(lone, base).is_file()


def test_the_scheduler_does_it() -> None:
    assert destroy_purged in [duty.do for duty in DUTIES]
