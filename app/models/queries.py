"""The questions about versions that belong to one line."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.tables import Model, ModelVersion


def lineage(session: Session, version: ModelVersion) -> list[str]:
    """The ids of a version and of all that it descends from."""
    found, parent = [version.id], version.parent_id
    while parent is not None and parent not in found:
        found.append(parent)
        parent = session.scalar(select(ModelVersion.parent_id).where(ModelVersion.id == parent))
    return found


def lock_line(session: Session, version: ModelVersion) -> list[ModelVersion]:
    """A version and all that it descends from, the newest first, as they stand now and until the transaction ends.

    Locks the model and then the versions: after jobs, requests and aliases, before the audit log.
    """
    session.execute(select(Model.id).where(Model.id == version.model_id).with_for_update(key_share=True))
    line = lineage(session, version)
    query = select(ModelVersion).where(ModelVersion.id.in_(line)).order_by(ModelVersion.id)
    rows = session.scalars(query.with_for_update(key_share=True).execution_options(populate_existing=True))
    found = {row.id: row for row in rows}
    return [found[version_id] for version_id in line]
