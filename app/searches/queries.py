"""The questions about trials that are longer than three lines."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.domain.objective import DIRECTIONS
from app.tables import Search, SearchTrial


def trials_of(session: Session, search_id: str) -> Sequence[SearchTrial]:
    """All trials that are over, in order."""
    query = select(SearchTrial).where(SearchTrial.search_id == search_id)
    return session.scalars(query.order_by(SearchTrial.number)).all()


def best(session: Session, search: Search) -> SearchTrial | None:
    """The best trial that did not fail, the first of equals."""
    value = SearchTrial.value
    order = value.asc() if DIRECTIONS[search.objective] == "minimize" else value.desc()
    query = select(SearchTrial).where(SearchTrial.search_id == search.id, value.is_not(None))
    return session.scalars(query.order_by(order, SearchTrial.number).limit(1)).first()


def counts(session: Session, search_id: str) -> tuple[int, int]:
    """How many trials have succeeded, and how many have failed."""
    query = select(func.count(), func.count(SearchTrial.value)).where(SearchTrial.search_id == search_id)
    over, succeeded = session.execute(query).one()
    return succeeded, over - succeeded
