"""Gold models that audits have trained, kept for later audits of the same model."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.core.ids import new_id
from app.tables import GoldModel, Model


def find(session: Session, model_id: str, digest: str) -> GoldModel | None:
    """The newest one that is bound to this digest."""
    bound = GoldModel.model_id == model_id, GoldModel.digest == digest
    query = select(GoldModel).where(*bound, GoldModel.purged_at.is_(None))
    return session.scalars(query.order_by(GoldModel.created_at.desc(), GoldModel.id).limit(1)).first()


def keep(
    session: Session,
    model_id: str,
    digest: str,
    *,
    job_id: str,
    weights_path: str,
    weights_sha256: str,
    weights_bytes: int,
    seconds: float,
) -> GoldModel:
    """Write down one that was trained, in the place of what there was: its file was missing or changed."""
    session.execute(delete(GoldModel).where(GoldModel.model_id == model_id, GoldModel.digest == digest))
    row = GoldModel(
        id=new_id("gm"),
        tenant_id=session.get_one(Model, model_id).tenant_id,
        model_id=model_id,
        digest=digest,
        job_id=job_id,
        weights_path=weights_path,
        weights_sha256=weights_sha256,
        weights_bytes=weights_bytes,
        seconds=seconds,
    )
    session.add(row)
    session.flush()
    return row
