"""`/api-keys`: made, listed, revoked."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.keys import service
from app.keys.caller import Caller, requires
from app.keys.schemas import ApiKeyIn, ApiKeyOut, NewApiKeyOut
from app.tables import ApiKey
from app.web.dependencies import Paging, Reading, Transaction
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import id_pattern

router = APIRouter(prefix="/api-keys", tags=["API keys"])

KeyId = Annotated[str, Path(pattern=id_pattern("key"))]
Reader = Annotated[Caller, requires("api-keys:read")]
Writer = Annotated[Caller, requires("api-keys:write")]


@router.post("", status_code=201)
def create(wish: ApiKeyIn, session: Transaction, caller: Writer, response: Response) -> NewApiKeyOut:
    """Make an API key. Its text is in this answer and nowhere else."""
    key, plaintext = service.create(
        session,
        tenant_id=caller.tenant_id,
        name=wish.name,
        scopes=wish.scopes,
        expires_at=wish.expires_at,
        actor=caller.key_id,
        held=caller.scopes,
    )
    response.headers["Location"] = f"/api-keys/{key.id}"
    return NewApiKeyOut(**ApiKeyOut.model_validate(key).model_dump(), key=plaintext)


@router.get("")
def listing(session: Reading, caller: Reader, paging: Paging) -> Page[ApiKeyOut]:
    """The tenant's API keys, revoked ones included."""
    return service.listing(session, paging, tenant_id=caller.tenant_id)


@router.get("/{key_id}", response_model=ApiKeyOut, responses=describe(404))
def get(key_id: KeyId, session: Reading, caller: Reader) -> ApiKey:
    """One API key, without its text."""
    return service.get(session, key_id, tenant_id=caller.tenant_id)


@router.delete("/{key_id}", status_code=204, responses=describe(404))
def revoke(key_id: KeyId, session: Transaction, caller: Writer) -> None:
    """Revoke an API key: from now on it opens nothing."""
    service.revoke(session, key_id, tenant_id=caller.tenant_id, actor=caller.key_id)
