"""Identifiers: a prefix that says what it names, and a UUIDv7 that sorts by time."""

from uuid_utils import uuid7


def new_id(prefix: str) -> str:
    """`fr` to `fr_0199…`: 32 hexadecimal digits, later ones sort after earlier ones."""
    return f"{prefix}_{uuid7().hex}"
