"""`/searches`: accepted, followed, cancelled."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from app.keys.caller import Caller, requires
from app.searches import service
from app.searches.schemas import SearchIn, SearchOut, TrialOut
from app.web.dependencies import IdempotencyKey, IfNoneMatch, Paging, Reading, Transaction
from app.web.etags import conditional
from app.web.idempotency import once
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import NAME, id_pattern

router = APIRouter(prefix="/searches", tags=["Searches"])

SearchId = Annotated[str, Path(pattern=id_pattern("srch"))]
Reader = Annotated[Caller, requires("searches:read")]
Writer = Annotated[Caller, requires("searches:write")]


@router.post("", status_code=202, response_model=SearchOut, responses=describe(409))
def submit(wish: SearchIn, session: Transaction, caller: Writer, idempotency_key: IdempotencyKey = None) -> Response:
    """Look for better parameters of some methods on validation data. Nothing is forgotten by it."""

    def act() -> tuple[SearchOut, dict[str, str]]:
        search = service.submit(session, wish, tenant_id=caller.tenant_id, actor=caller.key_id)
        return service.describe(session, search), {"Location": f"/searches/{search.id}", "Retry-After": "5"}

    route = "POST /searches"
    return once(session, idempotency_key, tenant_id=caller.tenant_id, route=route, wish=wish, act=act, status=202)


@router.get("")
def listing(
    session: Reading,
    caller: Reader,
    paging: Paging,
    model: Annotated[str | None, Query(pattern=NAME, description="Name or id.")] = None,
) -> Page[SearchOut]:
    """The tenant's searches, newest first."""
    return service.listing(session, paging, tenant_id=caller.tenant_id, model=model)


@router.get("/{search_id}", response_model=SearchOut, responses={**describe(404), 304: {"description": "Unchanged"}})
def get(search_id: SearchId, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """One search: how far it is, and the best parameters so far."""
    search = service.get(session, search_id, tenant_id=caller.tenant_id)
    return conditional(service.describe(session, search), if_none_match)


@router.get("/{search_id}/trials", responses=describe(404))
def trials(search_id: SearchId, session: Reading, caller: Reader, paging: Paging) -> Page[TrialOut]:
    """The trials that are over, newest first."""
    return service.trials(session, service.get(session, search_id, tenant_id=caller.tenant_id), paging)


@router.post("/{search_id}/cancel", responses=describe(404, 409))
def cancel(search_id: SearchId, session: Transaction, caller: Writer) -> SearchOut:
    """Cancel: at once while it waits, as soon as the worker notices while it runs. Its trials stay."""
    search = service.get(session, search_id, tenant_id=caller.tenant_id)
    return service.describe(session, service.cancel(session, search, actor=caller.key_id))
