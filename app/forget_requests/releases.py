"""From an audited version to a deployed one: what the policy releases, what it holds, and why."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import Conflict
from app.domain.lifecycle import VersionStatus
from app.domain.policy import policy_of
from app.models import aliases
from app.models import service as models
from app.models.queries import lineage, lock_line
from app.tables import Alias, AliasChange, AuditReport, ForgetRequest, Model, ModelVersion


class Wait(NamedTuple):
    """Why a request awaits its release: a stable code, and a sentence."""

    reason: str
    detail: str


ALIAS_MOVED = "alias_moved"
WAYS_OUT: Mapping[bool, str] = {
    True: "Send override and a reason to release it nevertheless, or reject it",
    False: "Reject it",
}
"""By whether the policy lets itself be overridden."""


def gate(session: Session, request: ForgetRequest) -> bool:
    """Whether what the request makes is held at first. Then its alias and line are locked: before the audit log is."""
    held = policy_of(request.policy).release != "manual"
    if held:
        _alias(session, request)
        lock_line(session, session.get_one(ModelVersion, request.base_version_id))
    return held


def waits_for(session: Session, request: ForgetRequest) -> Wait | None:
    """What keeps an audited version from being deployed, or left to the caller, without anybody's word; or nothing."""
    policy = policy_of(request.policy)
    if policy.release == "manual":
        return None
    verdict = _verdict(session, request)
    if verdict not in policy.release_on:
        return Wait(f"verdict_{verdict}", f"{_against(verdict, policy.release_on)}. {WAYS_OUT[policy.override]}.")
    if policy.release == "auto" and verdict == "pass":
        return Wait(ALIAS_MOVED, _moved(request)) if _has_moved(session, request) else None
    return Wait("release_required", f"The verdict {verdict} may be released; the policy wants somebody to do it.")


def check(session: Session, request: ForgetRequest, *, override: bool) -> bool:
    """Let a release through, or say why not.

    Returns:
        Whether it goes against the policy, which it may only where the policy says so and the caller does.
    """
    policy, verdict = policy_of(request.policy), _verdict(session, request)
    if _has_moved(session, request):
        raise Conflict(_moved(request), code=ALIAS_MOVED)  # no override: it would bring back what is forgotten
    if verdict in policy.release_on:
        return False
    if not (policy.override and override):
        ways = f"{WAYS_OUT[policy.override]}, and submit it anew with a stronger method or more gold models"
        raise Conflict(
            f"{_against(verdict, policy.release_on)}. {ways}.", code="release_against_policy", verdict=verdict
        )
    return True


def deploy(session: Session, request: ForgetRequest, *, actor: str) -> None:
    """The version is ready, and the request's alias points to it. Where the caller does it, nothing is done."""
    if policy_of(request.policy).release == "manual":
        return
    alias, version = _alias(session, request), _result(session, request)
    if version.status is VersionStatus.HELD:
        models.transition(session, version, VersionStatus.READY, reason="released", actor=actor)
    if alias is not None and alias.version_id != version.id:
        aliases.move(session, alias, version.id, actor)


def _alias(session: Session, request: ForgetRequest) -> Alias | None:
    """The request's, locked; none where it named a version."""
    model = session.get_one(Model, request.model_id)
    return aliases.find(session, model, request.alias, lock=True) if request.alias is not None else None


def _result(session: Session, request: ForgetRequest) -> ModelVersion:
    """The version that the request made, locked with its line."""
    return lock_line(session, session.get_one(ModelVersion, request.result_version_id))[0]


def _has_moved(session: Session, request: ForgetRequest) -> bool:
    """The new version does not build on what is deployed now, or builds on what was deployed and taken back."""
    alias, version = _alias(session, request), _result(session, request)  # both locked, before the audit log is
    if alias is None:
        return False
    line = lineage(session, version)  # the newest first
    if alias.version_id not in line:
        return True
    younger = line[: line.index(alias.version_id)]
    shown = select(AliasChange.id).where(AliasChange.alias_id == alias.id, AliasChange.version_id.in_(younger))
    return session.scalars(shown.limit(1)).first() is not None


def _verdict(session: Session, request: ForgetRequest) -> str:
    return session.get_one(AuditReport, request.audit_report_id).verdict or ""


def _against(verdict: str, release_on: Sequence[str]) -> str:
    allowed = " or ".join(release_on)
    return f"The policy under which the request was accepted releases {allowed}; the verdict is {verdict}"


def _moved(request: ForgetRequest) -> str:
    return (
        f"The alias {request.alias} has moved since: the new version does not build on what is deployed now, and could"
        " bring back what that has forgotten, or what was taken back. Reject the request and submit it anew."
    )
