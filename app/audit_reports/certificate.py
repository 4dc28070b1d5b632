"""What a report file is, byte for byte, and whether it may be believed: needs the file and public keys, nothing else.

A report file is the RFC 8785 canonical JSON of

    {body, envelope, forget_request_id, id, job_id, made_at, status, status_reason, verdict}

in which everything but the envelope follows from the statement that the envelope signs. So each statement has exactly
one file, and a file that differs from it in any byte is refused: reformatted, re-encoded or with a member more, too.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import rfc8785
from pydantic import ValidationError

from app.core.signing import BadSignature, OtherKey, key_id, public_key_from, signer_of, verify
from app.signing_keys.schemas import SigningKeyOut, SigningKeysOut


class NotBelieved(ValueError):
    """The report must not be relied on."""

    code = "not_believed"


class Truncated(NotBelieved):
    """The file ends too early."""

    code = "truncated"


class Altered(NotBelieved):
    """Something in the file is not as it was signed."""

    code = "altered"


class WrongKey(NotBelieved):
    """None of the keys at hand signed it."""

    code = "wrong_key"


class KeyRevoked(NotBelieved):
    """The key that signed it is not to be believed any more."""

    code = "key_revoked"


class KeyExpired(NotBelieved):
    """It says that it was made when its key was not in force."""

    code = "key_expired"


class KnownKey(NamedTuple):
    """A public key at hand; without a record nothing is known about its validity."""

    public_key: str
    record: SigningKeyOut | None

    @property
    def id(self) -> str:
        """Its id in envelopes."""
        return key_id(self.public_key)


class Proof(NamedTuple):
    """A report that holds, and the key that vouches for it."""

    body: dict[str, Any]
    key: KnownKey


def document_of(body: dict[str, Any], envelope: dict[str, Any]) -> dict[str, Any]:
    """Everything that a report file says, from what was signed."""
    return {
        "id": body["report"],
        "status": "completed",
        "status_reason": None,
        "forget_request_id": body["asked"]["forget_request"],
        "job_id": body["job"],
        "made_at": body["made_at"],
        "verdict": body["verdict"],
        "body": body,
        "envelope": envelope,
    }


def file_of(body: dict[str, Any], envelope: dict[str, Any]) -> bytes:
    """The one file of this report."""
    return rfc8785.dumps(document_of(body, envelope))


def keys_from(text: str) -> list[KnownKey]:
    """The keys of a text: what `GET /signing-keys` answered, a PEM file, or a key in base64.

    Raises:
        ValueError: it is none of these.
    """
    if not text.lstrip().startswith("{"):
        return [KnownKey(public_key_from(text), None)]
    try:
        return [KnownKey(key.public_key, key) for key in SigningKeysOut.model_validate_json(text).keys]
    except ValidationError as error:
        raise ValueError("not a document of signing keys") from error


def check(content: bytes, keys: Sequence[KnownKey]) -> Proof:
    """The report in a file, if it is as one of the keys signed it, and that key may be believed.

    Raises:
        NotBelieved: one of its kinds says what is wrong.
    """
    document = _parsed(content)
    envelope = document["envelope"]
    try:
        key = _signer(envelope, keys)
        statement = verify(envelope, key.public_key)
        body = statement["predicate"]
        expected = file_of(body, envelope)
        made_at = datetime.fromisoformat(body["made_at"])
    except OtherKey as error:
        raise WrongKey(str(error)) from error
    except (BadSignature, KeyError, TypeError, ValueError) as error:
        raise _as_told(error) from error
    if content != expected:
        raise Altered(
            "the signed part is intact, but the file around it is not as it was issued: changed or reformatted"
        )
    _check_validity(key, made_at)
    return Proof(body, key)


def _as_told(error: Exception) -> NotBelieved:
    if isinstance(error, NotBelieved):
        return error
    if isinstance(error, BadSignature):
        return Altered(f"it was changed after it was signed: {error}")
    return Altered("what was signed is not an audit report of this service")


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode())
    except ValueError as error:
        if _ends_too_early(content, error):
            raise Truncated("the file ends before the report does: fetch it again") from error
        raise Altered("the file is not JSON") from error
    except RecursionError as error:
        raise Altered("the file is not an audit report") from error
    if not isinstance(document, dict) or "envelope" not in document:
        raise Altered("the file is not an audit report")
    return document


def _ends_too_early(content: bytes, error: ValueError) -> bool:
    """Whether the reader stumbled over the end: within a string, a word or a character, or where more must come."""
    if isinstance(error, UnicodeDecodeError):
        return error.end == len(content)
    if not isinstance(error, json.JSONDecodeError) or error.msg == "Extra data":
        return False
    return error.msg.startswith("Unterminated") or error.pos >= len(error.doc) - len("fals")


def _signer(envelope: Any, keys: Sequence[KnownKey]) -> KnownKey:
    if not isinstance(envelope, dict):
        raise Altered("there is no signed envelope in it")
    named = signer_of(envelope)
    for key in keys:
        if key.id == named:
            return key
    at_hand = ", ".join(f"{key.id[:16]}…" for key in keys) or "none"
    raise WrongKey(f"it says that key {named[:16]}… signed it; at hand: {at_hand}")


def _check_validity(key: KnownKey, made_at: datetime) -> None:
    record = key.record
    if record is None:
        return
    if record.state == "revoked":
        when = f" on {record.revoked_at:%Y-%m-%d}" if record.revoked_at else ""
        raise KeyRevoked(f"key {key.id[:16]}… was revoked{when}: {record.revocation_reason or 'no reason given'}")
    if made_at < record.not_before or (record.not_after is not None and made_at > record.not_after):
        raise KeyExpired(
            f"it says it was made at {made_at.isoformat()}; key {key.id[:16]}… was in force from"
            f" {record.not_before.isoformat()} to {record.not_after.isoformat() if record.not_after else 'now'}"
        )
