"""Pages of a list: newest first, behind an opaque cursor over the time-ordered ids."""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.errors import BadRequest

Row = TypeVar("Row")
Out = TypeVar("Out")

_ID = re.compile(r"[a-z]{1,16}_[0-9a-f]{32}")


class Page(BaseModel, Generic[Out]):
    """One page; `next_cursor` goes into `after` of the next call."""

    data: list[Out]
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True)
class Paging:
    """Which page is asked for."""

    limit: int = 20
    after: str | None = None
    """The id of the last row of the page before."""


def cursor(row_id: str) -> str:
    """The id, made opaque."""
    return base64.urlsafe_b64encode(row_id.encode()).decode().rstrip("=")


def row_of(text: str) -> str:
    """The id in a cursor.

    Raises:
        BadRequest: it is not one of ours.
    """
    try:
        row_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except (binascii.Error, ValueError):
        row_id = ""
    if not _ID.fullmatch(row_id):
        raise BadRequest(
            "The cursor is not one that this service gave; start again without `after`.", code="bad_cursor"
        )
    return row_id


def fetch(
    session: Session,
    statement: Select[Row],
    key: InstrumentedAttribute[str],
    paging: Paging,
    out: Callable[[Row], Out],
) -> Page[Out]:
    """The page of the statement's rows that comes after the cursor."""
    if paging.after is not None:
        statement = statement.where(key < paging.after)
    rows = list(session.scalars(statement.order_by(key.desc()).limit(paging.limit + 1)))
    shown: list[Any] = rows[: paging.limit]
    has_more = len(rows) > paging.limit
    return Page(
        data=[out(row) for row in shown], has_more=has_more, next_cursor=cursor(shown[-1].id) if has_more else None
    )
