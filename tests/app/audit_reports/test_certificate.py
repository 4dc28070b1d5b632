"""One statement has one file: whatever is changed in it, however small, is refused and named."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from app.audit_reports import certificate
from app.audit_reports.certificate import KnownKey, NotBelieved, check, keys_from
from app.core.signing import key_id, new_signing_key, public_key_of
from app.signing_keys.schemas import SigningKeyOut, SigningKeysOut
from tests.app.audit_reports.material import body, signed

PRIVATE = new_signing_key()
PUBLIC = public_key_of(PRIVATE)
FILE = signed(PRIVATE)
MADE_AT = datetime(2026, 11, 20, 9, 0, 0, 250_000, UTC)
ANY = [KnownKey(PUBLIC, None)]


def record(**changed: Any) -> SigningKeyOut:
    facts: dict[str, Any] = {
        "key_id": key_id(PUBLIC),
        "public_key": PUBLIC,
        "state": "active",
        "not_before": MADE_AT - timedelta(days=1),
        "not_after": None,
        "revoked_at": None,
        "revocation_reason": None,
    }
    return SigningKeyOut(**{**facts, **changed})


def refused(content: bytes, keys: list[KnownKey] | None = None) -> str:
    with pytest.raises(NotBelieved) as problem:
        check(content, ANY if keys is None else keys)
    return problem.value.code


def test_a_report_as_it_was_issued_holds() -> None:
    assert check(FILE, ANY).body == body()


def test_every_changed_byte_in_a_thousand_random_places_is_noticed() -> None:
    draw = random.Random(1)  # noqa: S311 - places, not secrets
    for place in draw.sample(range(len(FILE)), 1000):
        for changed in {FILE[place] ^ (1 << draw.randrange(8)), draw.choice(b' \n\t"{}=Aa0'), 0} - {FILE[place]}:
            refused(FILE[:place] + bytes([changed]) + FILE[place + 1 :])


def test_a_byte_more_or_less_is_noticed_anywhere() -> None:
    draw = random.Random(2)  # noqa: S311 - likewise
    for place in draw.sample(range(len(FILE)), 300):
        refused(FILE[:place] + b" " + FILE[place:])
        refused(FILE[:place] + FILE[place + 1 :])


@pytest.mark.parametrize("tail", [b"\n", b" ", b"\0", b"{}", b"\xef\xbb\xbf"])
def test_what_comes_after_the_end_is_noticed(tail: bytes) -> None:
    assert refused(FILE + tail) == "altered"
    refused(tail + FILE)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.9999])
def test_a_file_that_ends_too_early_is_called_truncated(share: float) -> None:
    assert refused(FILE[: int(share * len(FILE))]) == "truncated"


def test_the_same_content_in_another_spelling_is_refused() -> None:
    document = json.loads(FILE)
    assert refused(json.dumps(document, indent=1).encode()) == "altered"
    assert refused(json.dumps(document).encode()) == "altered"
    twice = FILE.replace(b'{"body"', b'{"verdict":"pass","body"', 1)
    assert refused(twice) == "altered"  # of a member that stands twice, readers see one or the other
    assert refused(FILE.replace(b'"inconclusive"}', rb'"\u0069nconclusive"}')) == "altered"


@pytest.mark.parametrize("name", ["payload", "sig"])
def test_other_base64_of_the_same_bytes_is_refused(name: str) -> None:
    document = json.loads(FILE)
    holder = document["envelope"] if name == "payload" else document["envelope"]["signatures"][0]
    text = holder[name]
    spellings = [text + "\n", text.rstrip("=") + "====", text[:8] + " " + text[8:], text.rstrip("=")]
    if text.endswith("="):
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".index(text.rstrip("=")[-1])
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        spellings.append(text.rstrip("=")[:-1] + alphabet[last ^ 1] + "=" * text.count("="))
        assert base64.b64decode(spellings[-1]) == base64.b64decode(text)  # the bits that nobody reads
    for spelling in spellings:
        if spelling == text:
            continue
        holder[name] = spelling
        refused(rfc8785.dumps(document))


@pytest.mark.parametrize(
    "change",
    [{"verdict": "pass"}, {"id": "ar_other"}, {"job_id": None}, {"more": 1}, {"body": body(verdict="pass")}],
    ids=str,
)
def test_what_stands_around_the_signed_part_must_follow_from_it(change: dict[str, Any]) -> None:
    assert refused(rfc8785.dumps({**json.loads(FILE), **change})) == "altered"


def test_a_second_signature_makes_another_file() -> None:
    document = json.loads(FILE)
    document["envelope"]["signatures"].append({"keyid": "0" * 64, "sig": document["envelope"]["signatures"][0]["sig"]})
    assert refused(rfc8785.dumps(document)) == "altered"


def test_another_key_is_called_so() -> None:
    assert refused(FILE, [KnownKey(public_key_of(new_signing_key()), None)]) == "wrong_key"
    assert refused(FILE, []) == "wrong_key"


def test_a_forged_key_id_does_not_help() -> None:
    other = new_signing_key()
    forged = json.loads(signed(other))
    forged["envelope"]["signatures"][0]["keyid"] = key_id(PUBLIC)
    assert refused(rfc8785.dumps(forged)) == "altered"


@pytest.mark.parametrize(
    "content", [b"[]", b"7", b"null", b'{"envelope":3}', b'{"envelope":{}}', b"\x00", b"[" * 99999]
)
def test_what_is_no_report_is_refused(content: bytes) -> None:
    assert refused(content) in {"altered", "truncated"}


def test_a_retired_key_is_believed_about_its_own_time_only() -> None:
    later = MADE_AT + timedelta(days=1)
    assert check(FILE, [KnownKey(PUBLIC, record(state="retired", not_after=later))]).body == body()
    ended = record(state="retired", not_after=MADE_AT - timedelta(seconds=1))
    assert refused(FILE, [KnownKey(PUBLIC, ended)]) == "key_expired"
    assert refused(FILE, [KnownKey(PUBLIC, record(not_before=later))]) == "key_expired"


def test_a_revoked_key_is_refused_with_its_reason() -> None:
    revoked = record(state="revoked", revoked_at=MADE_AT + timedelta(days=9), revocation_reason="laptop stolen")
    with pytest.raises(certificate.KeyRevoked, match="laptop stolen"):
        check(FILE, [KnownKey(PUBLIC, revoked)])


def test_keys_are_read_as_people_have_them() -> None:
    pem = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(PUBLIC)).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    ring = SigningKeysOut(keys=[record()]).model_dump_json(indent=2)
    for text in (pem.decode(), PUBLIC + "\n", ring):
        assert [key.id for key in keys_from(text)] == [key_id(PUBLIC)]
    for text in ("nonsense", "{}", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", ""):
        with pytest.raises(ValueError):  # noqa: PT011 - each its own sentence
            keys_from(text)
