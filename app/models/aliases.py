"""Aliases: names that point to a version, with a history and a way back."""

from itertools import pairwise

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.audit_log import service as audit_log
from app.core.errors import Conflict, NotFound, PreconditionFailed
from app.core.ids import new_id
from app.domain.lifecycle import VersionStatus
from app.models.queries import lock_line
from app.models.schemas import AliasChangeOut, AliasOut
from app.models.service import purged, ready_version, transition
from app.tables import Alias, AliasChange, Model, ModelVersion
from app.web.etags import check_match
from app.web.pages import Page, Paging, fetch


def get(session: Session, model: Model, name: str) -> Alias:
    """One alias of the model."""
    alias = find(session, model, name)
    if alias is None:
        raise NotFound("This model has no such alias.", code="no_such_alias")
    return alias


def find(session: Session, model: Model, name: str, *, lock: bool = False) -> Alias | None:
    """One alias of the model, if there is one."""
    statement = select(Alias).where(Alias.model_id == model.id, Alias.name == name)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return session.scalar(statement)


def listing(session: Session, model: Model, paging: Paging) -> Page[AliasOut]:
    """The model's aliases."""
    statement = select(Alias).where(Alias.model_id == model.id)
    return fetch(session, statement, Alias.id, paging, AliasOut.model_validate)


def history(session: Session, alias: Alias, paging: Paging) -> Page[AliasChangeOut]:
    """All changes of the alias, newest first."""
    statement = select(AliasChange).where(AliasChange.alias_id == alias.id)
    return fetch(session, statement, AliasChange.id, paging, AliasChangeOut.model_validate)


def etag(alias: Alias) -> str:
    """Counts the changes."""
    return f'"{alias.id}.{alias.revision}"'


def point(session: Session, model: Model, name: str, version_id: str, *, if_match: str | None, actor: str) -> Alias:
    """Let the alias point to a version; who changes it must have seen where it points now."""
    alias = find(session, model, name, lock=True)
    version = ready_version(session, model, version_id, pointer="/version", role="candidate", lock=True)
    if alias is None:
        return _create(session, model, name, version.id, if_match=if_match, actor=actor)
    check_match(if_match, etag(alias))
    return move(session, alias, version.id, actor)


def roll_back(session: Session, model: Model, name: str, *, if_match: str | None, actor: str) -> Alias:
    """Point to where it pointed before its newest change. `If-Match` is honoured, not demanded: for emergencies."""
    alias = find(session, model, name, lock=True)
    if alias is None:
        raise NotFound("This model has no such alias.", code="no_such_alias")
    if if_match is not None:
        check_match(if_match, etag(alias))
    before = session.scalar(
        select(AliasChange).where(AliasChange.alias_id == alias.id, AliasChange.revision == alias.revision - 1)
    )
    if before is None:
        raise Conflict("The alias has never pointed elsewhere.", code="no_earlier_version")
    if lock_line(session, session.get_one(ModelVersion, before.version_id))[0].status is VersionStatus.PURGED:
        raise purged()
    return move(session, alias, before.version_id, actor)


def move(session: Session, alias: Alias, version_id: str, actor: str) -> Alias:
    """Let an alias point to a version that may be deployed. The caller has locked both, and the version's line."""
    alias.version_id = version_id
    alias.revision += 1
    session.flush()
    _write_down(session, alias, actor)
    _overtake(session, alias, actor)
    return alias


def _create(session: Session, model: Model, name: str, version_id: str, *, if_match: str | None, actor: str) -> Alias:
    if if_match is not None:
        raise PreconditionFailed("There is no such alias yet; leave If-Match out to create it.", code="if_match_failed")
    alias = Alias(
        id=new_id("alias"), tenant_id=model.tenant_id, model_id=model.id, name=name, version_id=version_id, revision=1
    )
    try:
        with session.begin_nested():
            session.add(alias)
    except IntegrityError:
        raise Conflict("Somebody created it just now; get it first.", code="alias_exists", retryable=True) from None
    _write_down(session, alias, actor)
    _overtake(session, alias, actor)
    return alias


def _overtake(session: Session, alias: Alias, actor: str) -> None:
    """What an alias points to is ready. What it was made of by a forget request is superseded.

    Superseded is every older version of the line that some request has made forget something since, and that no alias
    points to: skipped ones as well.
    """
    line = lock_line(session, session.get_one(ModelVersion, alias.version_id))
    if line[0].status is VersionStatus.SUPERSEDED:
        transition(session, line[0], VersionStatus.READY, reason="pointed_to", actor=actor)
    line[0].purge_decisions = []  # nobody has said so of a version that is deployed
    pointed_to = set(session.scalars(select(Alias.version_id).where(Alias.model_id == alias.model_id)))
    forgotten = False
    for younger, older in pairwise(line):
        forgotten = forgotten or younger.made_by_job_id is not None
        if forgotten and older.status is VersionStatus.READY and older.id not in pointed_to:
            transition(
                session, older, VersionStatus.SUPERSEDED, reason="deployed_since", detail=line[0].id, actor=actor
            )


def _write_down(session: Session, alias: Alias, actor: str) -> None:
    session.add(
        AliasChange(
            id=new_id("ac"),
            tenant_id=alias.tenant_id,
            alias_id=alias.id,
            version_id=alias.version_id,
            revision=alias.revision,
            changed_by=actor,
        )
    )
    session.flush()
    data = {"version": alias.version_id, "revision": alias.revision}
    audit_log.record(
        session, tenant_id=alias.tenant_id, actor=actor, action="alias.pointed", resource=alias.id, data=data
    )
