"""What a string on the wire may hold: no NUL, which PostgreSQL refuses, and nothing without an end."""

from typing import Annotated

from pydantic import Field, StringConstraints

NAME = r"^[a-z0-9][a-z0-9._-]{0,99}$"
NO_NUL = r"^[^\x00]*$"

Name = Annotated[str, StringConstraints(pattern=NAME, max_length=100)]
"""A name that may stand in a URL."""
Ref = Annotated[str, Field(pattern=NAME, max_length=100, description="Name or id.")]
"""A name or an id, as a path segment or a field."""
Line = Annotated[str, StringConstraints(pattern=NO_NUL, min_length=1, max_length=200)]
"""One line of text that a person wrote."""
Identity = Annotated[str, StringConstraints(pattern=NO_NUL, min_length=1, max_length=1000)]
"""The id of a sample or of a subject; never in an error, a URL or a log."""


def id_pattern(prefix: str) -> str:
    """The pattern of an id with this prefix."""
    return f"^{prefix}_[0-9a-f]{{32}}$"


def is_id(prefix: str, text: str) -> bool:
    """Whether a reference is an id; it is a name otherwise, even one that begins alike."""
    head, digits = text[: len(prefix) + 1], text[len(prefix) + 1 :]
    return head == f"{prefix}_" and len(digits) == 32 and set(digits) <= set("0123456789abcdef")
