"""What a route costs at least: FastAPI, a body of the same size, one row in the same PostgreSQL, one commit.

`uvicorn benchmarks.bare:app`, with the database in `UNLEARN_DATABASE_URL`.
"""

import os
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import JSON, Column, MetaData, String, Table, create_engine, insert
from sqlalchemy.engine import Connection

from app.core.ids import new_id

rows = Table("bare_rows", MetaData(), Column("id", String(64), primary_key=True), Column("body", JSON))
engine = create_engine(os.environ["UNLEARN_DATABASE_URL"], pool_size=10, max_overflow=20)
rows.metadata.create_all(engine)
app = FastAPI()


class Wish(BaseModel):
    """The body of a forget request, as any JSON."""

    model: str
    target: dict[str, Any]
    method: dict[str, Any]
    audit: dict[str, Any]


def _transaction() -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


@app.post("/rows", status_code=202)
def add(wish: Wish, connection: Annotated[Connection, Depends(_transaction, scope="function")]) -> dict[str, str]:
    """One row."""
    row_id = new_id("row")
    connection.execute(insert(rows), {"id": row_id, "body": wish.model_dump()})
    return {"id": row_id}
