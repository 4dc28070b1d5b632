"""The policy of a model: read, replaced, written down."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.policy import ModelPolicy, policy_of
from app.models.service import record
from app.tables import Model
from app.web.etags import check_match


def get(model: Model) -> ModelPolicy:
    """What holds for requests that are accepted now."""
    return policy_of(model.policy)


def etag(model: Model) -> str:
    """Counts the changes."""
    return f'"{model.id}.policy.{model.policy_revision}"'


def put(session: Session, model: Model, wish: ModelPolicy, *, if_match: str | None, actor: str) -> Model:
    """Replace it; who does must have seen the one in force. Requests that were accepted before keep theirs."""
    locked = select(Model).where(Model.id == model.id).with_for_update(key_share=True)
    model = session.scalars(locked.execution_options(populate_existing=True)).one()
    check_match(if_match, etag(model))
    model.policy = wish.model_dump(mode="json")
    model.policy_revision += 1
    session.flush()
    record(session, model, actor, "model.policy", {"revision": model.policy_revision, "policy": model.policy})
    return model
