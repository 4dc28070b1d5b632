"""What routes ask for in their signatures: a transaction, a page, a precondition."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Header, Query, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from sqlalchemy.orm import Session

from app.core import db
from app.core.errors import FieldError, Invalid
from app.outbox import service as outbox
from app.web import pages
from app.web.bell import ring


def _transaction(background: BackgroundTasks) -> Iterator[Session]:
    with db.transaction() as session:
        yield session
    if outbox.has_published(session):
        background.add_task(ring)  # runs after the answer


def _reading() -> Iterator[Session]:
    with db.reading() as session:
        yield session


def _paging(
    limit: Annotated[int, Query(ge=1, le=100, description="Rows of a page.")] = 20,
    after: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
) -> pages.Paging:
    return pages.Paging(limit, None if after is None else pages.row_of(after))


async def known_query(request: Request) -> None:
    """An unknown query parameter is an error, on every route: a misspelt filter must not be no filter."""
    route = request.scope["route"]
    fields = get_flat_params(route.dependant)
    known = {field.alias for field in fields if getattr(field.field_info, "in_", None) is ParamTypes.query}
    unknown = set(request.query_params) - known
    if unknown:
        allowed = ", ".join(sorted(known)) or "none"
        message = f"Unknown query parameter; this path takes: {allowed}."
        raise Invalid(message, code="unknown_parameter", errors=[FieldError("query", message)])


Transaction = Annotated[Session, Depends(_transaction, scope="function")]
"""Committed before the answer is sent: a failed commit is a 500, never a 202."""
Reading = Annotated[Session, Depends(_reading, scope="function")]
Paging = Annotated[pages.Paging, Depends(_paging)]
IfMatch = Annotated[str | None, Header(max_length=2000, description="ETag of the state that is changed.")]
IfNoneMatch = Annotated[str | None, Header(max_length=2000, description="ETag of the state already known.")]
IdempotencyKey = Annotated[
    str | None,
    Header(pattern="^[!-~]{1,255}$", description="A repeated request with the same key gets the same answer."),
]
