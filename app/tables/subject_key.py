"""The row of a subject key: what a request's references to persons in the audit log are made with."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.tables.base import Base, Owned


class SubjectKey(Owned, Base):
    """Once it is deleted, nobody can say whom the references mean; the chain holds as before."""

    __tablename__ = "subject_keys"

    forget_request_id: Mapped[str] = mapped_column(ForeignKey("forget_requests.id"), unique=True)
    key: Mapped[str] = mapped_column(String(64))
    """32 random bytes, in hexadecimal."""
