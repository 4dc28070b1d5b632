"""The row of a signing key: the public half, and from when to when it may be believed. One ring for the service."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base


class SigningKey(Base):
    """Private halves stand in the settings and nowhere else."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of the raw public key: `keyid` in the envelopes."""
    public_key: Mapped[str] = mapped_column(String(64))
    """32 bytes in URL-safe base64."""
    not_before: Mapped[datetime]
    retired_at: Mapped[datetime | None]
    """Another key signs since then."""
    not_after: Mapped[datetime | None]
    """What says that it was signed later is not believed; empty while the key is active."""
    revoked_at: Mapped[datetime | None]
    """Nothing that it ever signed is believed."""
    revocation_reason: Mapped[str | None] = mapped_column(Text)
