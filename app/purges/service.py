"""A version is purged: by whom, why, and what must not need it any more. The files go afterwards (`files`)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from app.core.db import now
from app.core.errors import Conflict
from app.domain.lifecycle import USABLE, VersionStatus
from app.domain.policy import PURGERS
from app.models import policy as policies
from app.models import service as models
from app.models.queries import lock_line
from app.models.schemas import PurgeDecision
from app.purges import queries
from app.purges.schemas import PurgeIn
from app.tables import Model, ModelVersion
from app.web.etags import check_match, etag_of


class Use(NamedTuple):
    """Something that may still need a version: how to find it, what to do about it, a code."""

    find: Callable[[Session, ModelVersion], str | None]
    message: str
    code: str


USES: Mapping[str, Use] = {
    "alias": Use(queries.alias_at, "The alias {} points to it: let it point elsewhere first.", "version_in_use"),
    "forget_request": Use(
        queries.request_for, "Forget request {} needs it: wait until that is over, or cancel it.", "version_needed"
    ),
    "audit_report": Use(
        queries.audit_for, "Audit {} reads it: wait until that is over, or cancel its job.", "version_needed"
    ),
    "search": Use(
        queries.search_for, "Search {} rehearses on it: wait until that is over, or cancel it.", "version_needed"
    ),
    "job": Use(queries.job_for, "Job {} reads it: wait until that is over, or cancel it.", "version_needed"),
    "next_of_alias": Use(
        queries.alias_beyond,
        "It has forgotten what the version has not that the alias {} points to, and the next request builds on it:"
        " let the alias point to it, or to what was made of it, and purge the older one.",
        "version_undeployed",
    ),
}
"""By the member of the problem document that names what was found."""


def purge(
    session: Session, model: Model, version: ModelVersion, wish: PurgeIn, *, if_match: str | None, actor: str
) -> ModelVersion:
    """Say that a version shall be destroyed; with as many such words as the policy asks for, it is purged.

    With it go the model's gold models that have seen what was forgotten since.

    Raises:
        Conflict: something still needs it, it is the only one, this key has said so already, or it is purged.
    """
    version = lock_line(session, version)[0]
    check_match(if_match, etag_of(models.describe_version(session, version)))
    _check(session, version)
    if actor in {word["by"] for word in version.purge_decisions}:
        message = "This key has decided so already; the policy asks for another one."
        raise Conflict(message, code="already_decided")
    word = PurgeDecision(by=actor, at=now(session), reason=wish.reason)
    version.purge_decisions = [*version.purge_decisions, word.model_dump(mode="json")]
    session.flush()
    enough = len(version.purge_decisions) >= PURGERS[policies.get(model).purge]
    golds = _purge_golds(session, model) if enough else []
    models.record(session, version, actor, "version.purge", {"reason": wish.reason})
    if enough:
        data = {**_digests(session, version), "gold_models": golds}
        status, detail = VersionStatus.PURGED, wish.reason
        models.transition(session, version, status, reason="purged", detail=detail, actor=actor, data=data)
    return version


def _check(session: Session, version: ModelVersion) -> None:
    if version.status is VersionStatus.PURGED:
        raise models.purged()
    if version.status is VersionStatus.VALIDATING:
        raise Conflict("The version is still being validated.", code="version_not_ready", retryable=True)
    for name, use in USES.items():
        found = use.find(session, version)
        if found is not None:
            what: dict[str, Any] = {name: found}
            raise Conflict(use.message.format(found), code=use.code, **what)
    deployable = version.role == "candidate" and version.status in USABLE
    if deployable and not queries.has_another(session, version):
        raise Conflict("It is the only version of the model that can be deployed.", code="only_version")


def _purge_golds(session: Session, model: Model) -> list[dict[str, str]]:
    golds = queries.outdated_golds(session, model)
    for gold in golds:
        gold.purged_at = now(session)
    session.flush()
    return [{"id": gold.id, "sha256": gold.weights_sha256} for gold in golds]


def _digests(session: Session, version: ModelVersion) -> dict[str, str | None]:
    stay = queries.shared(session, version)
    return {
        "weights_sha256": version.weights_sha256,
        "initial_weights_sha256": None if version.initial_weights_path in stay else version.initial_weights_sha256,
        "deltas_sha256": None if version.deltas_path in stay else version.deltas_sha256,
        "fisher_sha256": version.fisher_sha256,
    }
