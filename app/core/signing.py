"""Signatures: DSSE envelopes over canonical JSON, with Ed25519. Verifiable offline with the public key alone.

Sources: DSSE v1 (secure-systems-lab), in-toto Statement v1, RFC 8785 (canonical JSON), RFC 8032 (Ed25519).
"""

import base64
import binascii
import hashlib
import json
import os
from typing import Any

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class BadSignature(ValueError):
    """The envelope is malformed, changed, or signed by another key."""


def new_signing_key() -> str:
    """A random private key: 32 bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def public_key_of(signing_key: str) -> str:
    """The public key that belongs to a private key, in the same encoding."""
    return _encode(_private(signing_key).public_key())


def sign(statement: dict[str, Any], signing_key: str) -> dict[str, Any]:
    """A DSSE envelope over the canonical JSON of a statement."""
    key = _private(signing_key)
    payload = rfc8785.dumps(statement)
    signature = {"keyid": key_id(_encode(key.public_key())), "sig": _base64(key.sign(_pre_authentication(payload)))}
    return {"payloadType": PAYLOAD_TYPE, "payload": _base64(payload), "signatures": [signature]}


def verify(envelope: dict[str, Any], public_key: str) -> dict[str, Any]:
    """The statement of an envelope, after its signature has been checked.

    Raises:
        BadSignature: any byte of it differs from what was signed by this key.
    """
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        if envelope["payloadType"] != PAYLOAD_TYPE:
            raise BadSignature("not an in-toto statement")
        Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(public_key)).verify(
            signature, _pre_authentication(payload)
        )
        statement = json.loads(payload)
    except (InvalidSignature, KeyError, IndexError, TypeError, binascii.Error, ValueError) as error:
        raise BadSignature("the signature does not belong to this content and key") from error
    if not isinstance(statement, dict):
        raise BadSignature("the signed payload is not a statement")
    return statement


def key_id(public_key: str) -> str:
    """SHA-256 of the raw public key, in hexadecimal."""
    return hashlib.sha256(base64.urlsafe_b64decode(public_key)).hexdigest()


def _pre_authentication(payload: bytes) -> bytes:
    """DSSE's PAE: length-prefixed, so that type and payload cannot be shifted into one another."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _private(signing_key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(signing_key))


def _encode(key: Ed25519PublicKey) -> str:
    return base64.urlsafe_b64encode(key.public_bytes_raw()).decode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
