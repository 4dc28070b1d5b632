"""Signatures: DSSE envelopes over canonical JSON, with Ed25519. Verifiable offline with the public key alone.

The envelope and its pre-authentication encoding are securesystemslib's, the curve is cryptography's, the canonical
form rfc8785's; what is here is the strictness: one statement has one envelope, byte for byte.

Sources: DSSE v1 (secure-systems-lab), in-toto Statement v1, RFC 8785 (canonical JSON), RFC 8032 (Ed25519).
"""

import base64
import hashlib
import json
import os
from copy import deepcopy
from typing import Any

import rfc8785
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as DsseError
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # no __all__ there

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class BadSignature(ValueError):
    """The envelope is malformed, changed, or signed by another key."""


class OtherKey(BadSignature):
    """The envelope says that another key signed it."""


def new_signing_key() -> str:
    """A random private key: 32 bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def public_key_of(signing_key: str) -> str:
    """The public key that belongs to a private key, in the same encoding."""
    return _encode(_private(signing_key).public_key())


def public_key_from(text: str) -> str:
    """A public key as people hand it over: PEM, or 32 bytes in URL-safe base64. Returned as the latter.

    Raises:
        ValueError: it is neither, or a key of another kind than Ed25519.
    """
    if "-----BEGIN" not in text:
        raw = base64.urlsafe_b64decode(text.strip())
        return _encode(Ed25519PublicKey.from_public_bytes(raw))
    try:
        key = load_pem_public_key(text.encode())
    except UnsupportedAlgorithm as error:
        raise ValueError("not an Ed25519 key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 key")  # noqa: TRY004 - to the caller it is a wrong value, like the others
    return _encode(key)


def sign(statement: dict[str, Any], signing_key: str) -> dict[str, Any]:
    """A DSSE envelope over the canonical JSON of a statement."""
    private = _private(signing_key)
    envelope = Envelope(rfc8785.dumps(statement), PAYLOAD_TYPE, {})
    envelope.sign(CryptoSigner(private, _dsse_key(_encode(private.public_key()))))
    return dict(envelope.to_dict())


def verify(envelope: dict[str, Any], public_key: str) -> dict[str, Any]:
    """The statement of an envelope, after its signature has been checked.

    Raises:
        OtherKey: it names another key.
        BadSignature: any byte of it differs from what was signed by this key, or is encoded in another way.
    """
    found = _read(envelope)
    if key_id(public_key) not in found.signatures:
        raise OtherKey("another key signed this")
    try:
        found.verify([_dsse_key(public_key)], 1)
        statement = json.loads(found.payload)
    except (VerificationError, ValueError) as error:
        raise BadSignature("the signature does not belong to this content and key") from error
    if not isinstance(statement, dict) or rfc8785.dumps(statement) != found.payload:
        raise BadSignature("the signed payload is not a statement in canonical form")
    return statement


def signer_of(envelope: dict[str, Any]) -> str:
    """The id of the key that the envelope says signed it.

    Raises:
        BadSignature: malformed.
    """
    return next(iter(_read(envelope).signatures))


def key_id(public_key: str) -> str:
    """SHA-256 of the raw public key, in hexadecimal."""
    return hashlib.sha256(base64.urlsafe_b64decode(public_key)).hexdigest()


def _read(envelope: dict[str, Any]) -> Envelope:
    """One signature, our payload type, and the one encoding of both: no second spelling of the same bytes."""
    try:
        found = Envelope.from_dict(deepcopy(envelope))
        strict = len(found.signatures) == 1 and found.payload_type == PAYLOAD_TYPE and found.to_dict() == envelope
    except (DsseError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadSignature("this is not a signed envelope") from error
    if not strict:
        raise BadSignature("this is not an in-toto statement under one signature, in canonical base64")
    return found


def _dsse_key(public_key: str) -> SSlibKey:
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(public_key))
    return SSlibKey.from_crypto(key, keyid=key_id(public_key))


def _private(signing_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(signing_key))


def _encode(key: Ed25519PublicKey) -> str:
    return base64.urlsafe_b64encode(key.public_bytes_raw()).decode()
