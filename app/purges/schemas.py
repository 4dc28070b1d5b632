"""A purge on the wire."""

from pydantic import BaseModel, ConfigDict

from app.web.text import Line


class PurgeIn(BaseModel):
    """Why a version shall be destroyed."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    reason: Line
    """No personal data: it stays in the audit log."""
