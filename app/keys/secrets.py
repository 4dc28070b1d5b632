"""The text of a key: random, recognisable to secret scanners, and checkable without the database."""

import hashlib
import hmac
import secrets
import string
import zlib

from app.core.settings import get_settings

PREFIX = "unl_"
_DIGITS = string.digits + string.ascii_letters
_RANDOM, _CHECK = 43, 6  # base 62 digits of 256 and of 32 bits


def new_key() -> str:
    """`unl_`, 256 random bits, 32 bits of checksum."""
    body = _base62(secrets.randbits(256), _RANDOM)
    return PREFIX + body + _checksum(body)


def is_wellformed(key: str) -> bool:
    """Whether it may be a key at all: a slip of the hand needs no look-up."""
    body, check = key[len(PREFIX) : -_CHECK], key[-_CHECK:]
    return key.startswith(PREFIX) and key.isascii() and len(body) == _RANDOM and check == _checksum(body)


def digest(key: str) -> str:
    """What is stored: without the service's secret nobody can test a guess against a stolen database."""
    secret = get_settings().secret_key.get_secret_value()
    return hmac.new(secret.encode(), b"api-key\0" + key.encode(), hashlib.sha256).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
