"""The files of what is purged: destroyed after the commit that says so, by the scheduler, as often as it takes.

A process that dies between two files leaves the rest to the next time: only when all are gone is `destroyed_at` set.
"""

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.db import now, reading, transaction
from app.core.digests import sha256_of
from app.purges import queries
from app.tables import GoldModel, ModelVersion

log = logging.getLogger(__name__)


def destroy_purged() -> None:
    """Destroy the files of all that is purged; one that cannot be delays no other."""
    with reading() as session:
        versions, golds = queries.unburied(session)
    for version_id in versions:
        _try(_destroy_version, version_id)
    for gold_id in golds:
        _try(_destroy_gold, gold_id)


def _try(destroy: Callable[[str], None], resource: str) -> None:
    try:
        destroy(resource)
    except OSError:
        log.exception("the files of %s cannot be destroyed; it is tried again", resource)


def _destroy_version(version_id: str) -> None:
    with reading() as session:
        version = session.get_one(ModelVersion, version_id)
        files = queries.files_of(session, version)
    destroyed = _destroy(files)
    with transaction() as session:
        query = select(ModelVersion).where(ModelVersion.id == version_id, ModelVersion.destroyed_at.is_(None))
        row = session.scalars(query.with_for_update(key_share=True)).one_or_none()
        if row is not None:
            row.destroyed_at = now(session)
            session.flush()
            _record(session, row, "version.destroyed", destroyed)


def _destroy_gold(gold_id: str) -> None:
    with reading() as session:
        path = Path(session.get_one(GoldModel, gold_id).weights_path)
    destroyed = _destroy([path])
    with transaction() as session:
        query = select(GoldModel).where(GoldModel.id == gold_id).with_for_update()
        row = session.scalars(query).one_or_none()
        if row is not None:
            session.delete(row)
            session.flush()
            _record(session, row, "gold_model.destroyed", destroyed)


def _destroy(files: Sequence[Path]) -> list[dict[str, str]]:
    """Delete them, durably; says of each that was there what it was."""
    destroyed = []
    for path in files:
        if path.is_file():
            destroyed.append({"file": path.name, "sha256": sha256_of(path)})
            path.unlink(missing_ok=True)
    for folder in {path.parent for path in files}:
        _settle(folder)
    return destroyed


def _settle(folder: Path) -> None:
    """What is deleted in it stays so after a power cut."""
    if not folder.is_dir():
        return
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _record(session: Session, row: ModelVersion | GoldModel, action: str, files: list[dict[str, str]]) -> None:
    audit_log.record(
        session, tenant_id=row.tenant_id, actor="scheduler", action=action, resource=row.id, data={"files": files}
    )
