"""Who calls: the dependency that every route declares, with the scope that it asks for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.core import db
from app.core.errors import Forbidden, Unauthorized
from app.keys import service
from app.keys.scopes import Scope, covers

_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="An API key: `unl_…`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True)
class Caller:
    """The holder of an API key. `key_id` is the actor in the audit log."""

    tenant_id: str
    key_id: str
    scopes: frozenset[Scope]


def requires(scope: str) -> Any:
    """Let only callers with this scope in; stands in the annotation of the route's `caller`."""
    return Depends(_gate(Scope(scope)))


@cache  # one gate a scope, so that FastAPI asks it once a request
def _gate(scope: Scope) -> Callable[..., Caller]:
    def gate(credentials: Credentials) -> Caller:
        caller = identify(credentials.credentials if credentials else None)
        if not covers(caller.scopes, scope):
            raise Forbidden(f"This key lacks the scope {scope}.", code="scope_missing")
        return caller

    gate.scope = scope  # type: ignore[attr-defined]  # for the test that walks all routes
    return gate


def identify(plaintext: str | None) -> Caller:
    """The caller behind a key.

    Raises:
        Unauthorized: no key, or one that is unknown, expired or revoked; the same answer for all of them.
    """
    with db.reading() as session:
        key = service.authenticate(session, plaintext) if plaintext else None
    if key is None:
        raise Unauthorized(
            "Send a valid API key: `Authorization: Bearer unl_…`.",
            code="unauthorized",
            headers={"WWW-Authenticate": 'Bearer realm="unlearnd"'},
        )
    if service.is_stale(key):
        with db.transaction() as session:
            service.touch(session, key.id)
    return Caller(key.tenant_id, key.id, frozenset(Scope(scope) for scope in key.scopes))
