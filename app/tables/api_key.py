"""The row of an API key: only an HMAC of the key is stored."""

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class ApiKey(Owned, Base):
    """Who may do what."""

    __tablename__ = "api_keys"

    name: Mapped[str] = mapped_column(String(200))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """HMAC-SHA-256 of the key under the service's secret."""
    scopes: Mapped[list[Any]]
    """`resource:verb`; `*` allows everything."""
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
