"""A signature holds for exactly the bytes that were signed, by exactly the key that signed them."""

import base64
import copy

import pytest

from app.core.signing import BadSignature, new_signing_key, public_key_of, sign, verify

STATEMENT = {"predicate": {"verdict": "inconclusive", "n": 100, "after": 0.25}, "é": [None, True]}


def test_a_signed_statement_comes_back() -> None:
    key = new_signing_key()
    assert verify(sign(STATEMENT, key), public_key_of(key)) == STATEMENT


def test_the_payload_is_canonical() -> None:
    key = new_signing_key()
    assert sign(STATEMENT, key) == sign(dict(reversed(STATEMENT.items())), key)


def test_every_changed_byte_of_the_payload_is_noticed() -> None:
    key = new_signing_key()
    envelope = sign(STATEMENT, key)
    payload = base64.b64decode(envelope["payload"])
    for i in range(len(payload)):
        changed = copy.deepcopy(envelope)
        changed["payload"] = base64.b64encode(payload[:i] + bytes([payload[i] ^ 1]) + payload[i + 1 :]).decode()
        with pytest.raises(BadSignature):
            verify(changed, public_key_of(key))


def test_another_key_does_not_verify() -> None:
    with pytest.raises(BadSignature):
        verify(sign(STATEMENT, new_signing_key()), public_key_of(new_signing_key()))


@pytest.mark.parametrize("broken", [{}, {"payload": "e30=", "payloadType": "x", "signatures": []}, {"payload": 3}])
def test_a_malformed_envelope_is_a_bad_signature(broken: dict[str, object]) -> None:
    with pytest.raises(BadSignature):
        verify(broken, public_key_of(new_signing_key()))


def test_the_payload_type_is_signed_too() -> None:
    key = new_signing_key()
    with pytest.raises(BadSignature):
        verify({**sign(STATEMENT, key), "payloadType": "application/json"}, public_key_of(key))
