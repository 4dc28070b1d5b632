"""Signing keys on the wire, and in the file that an auditor takes along: public halves only."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

KeyState = Literal["active", "retired", "revoked"]


class SigningKeyOut(BaseModel):
    """A public key and what it is good for."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    key_id: str
    """SHA-256 of the raw public key; `keyid` in the envelopes that it signed."""
    algorithm: Literal["ed25519"] = "ed25519"
    public_key: str
    """32 bytes in URL-safe base64."""
    state: KeyState
    """`active`: signs now. `retired`: signs no more, what it signed still holds. `revoked`: nothing it signed holds."""
    not_before: datetime
    not_after: datetime | None
    """A report made later is refused; null while the key is active."""
    revoked_at: datetime | None
    revocation_reason: str | None


class SigningKeysOut(BaseModel):
    """Every key that ever signed a report of this service, newest first."""

    keys: list[SigningKeyOut]
