"""The tree of expected failures. Each has an HTTP status, a stable code and a sentence that says what to do next.

Problem
├── BadRequest 400      malformed: not JSON, not a cursor
├── Unauthorized 401    no key, or a wrong one
├── Forbidden 403       the key lacks a scope
├── NotFound 404        not there, or not yours: the same answer
├── Conflict 409        the state of things forbids it; may be right later
├── PreconditionFailed 412 / PreconditionRequired 428    If-Match
├── TooLarge 413        a body over the limit
├── Invalid 422         understood and wrong; `errors` points to the fields
└── Unavailable 503     try again
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One wrong field: an RFC 6901 pointer into the body, and why. Never the value itself."""

    pointer: str
    message: str


class Problem(Exception):
    """An expected failure, answered as `application/problem+json`."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = extra  # further members of the problem document, e.g. the request that did it already


class BadRequest(Problem):
    """Malformed."""

    status, title = 400, "Bad request"


class Unauthorized(Problem):
    """No key, or a wrong one."""

    status, title = 401, "Unauthorized"


class Forbidden(Problem):
    """The key lacks a scope."""

    status, title = 403, "Forbidden"


class NotFound(Problem):
    """Not there, or not yours."""

    status, title = 404, "Not found"


class Conflict(Problem):
    """The state of things forbids it."""

    status, title = 409, "Conflict"


class PreconditionFailed(Problem):
    """Somebody changed it since."""

    status, title = 412, "Precondition failed"


class PreconditionRequired(Problem):
    """If-Match is missing."""

    status, title = 428, "Precondition required"


class TooLarge(Problem):
    """A body over the limit."""

    status, title = 413, "Content too large"


class Invalid(Problem):
    """Understood and wrong."""

    status, title = 422, "Invalid request"


class Unavailable(Problem):
    """Not now."""

    status, title, retryable = 503, "Service unavailable", True


def invalid_field(pointer: str, message: str, *, code: str = "invalid_field", **extra: Any) -> Invalid:
    """One wrong field."""
    return Invalid(message, code=code, errors=[FieldError(pointer, message)], **extra)
