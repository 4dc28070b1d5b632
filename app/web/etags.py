"""ETags: a poll that changes nothing costs nothing, and nobody overwrites what they have not seen."""

import hashlib
from collections.abc import Mapping

from fastapi import Response
from pydantic import BaseModel

from app.core.errors import PreconditionFailed, PreconditionRequired


def etag_of(body: BaseModel) -> str:
    """A strong ETag: the digest of the representation."""
    return f'"{hashlib.sha256(body.model_dump_json().encode()).hexdigest()[:32]}"'


def matches(header: str, etag: str) -> bool:
    """Whether a list of ETags, or `*`, names this one; a weak prefix is ignored."""
    named = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in named or etag in named


def conditional(body: BaseModel, if_none_match: str | None, *, etag: str | None = None, status: int = 200) -> Response:
    """The representation with its ETag, or 304 if the caller has it."""
    tag = etag or etag_of(body)
    if if_none_match is not None and matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body.model_dump_json(), status, {"ETag": tag}, "application/json")


def as_stored(
    content: bytes, media_type: str, if_none_match: str | None, *, headers: Mapping[str, str] | None = None
) -> Response:
    """These bytes and no others, with their ETag, or 304 if the caller has them."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    if if_none_match is not None and matches(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(content, 200, {**(headers or {}), "ETag": tag}, media_type)


def check_match(if_match: str | None, etag: str) -> None:
    """Let a change through only if the caller has seen the state that it changes."""
    if if_match is None:
        raise PreconditionRequired(
            "Send If-Match with the ETag that a GET of this resource gave.", code="if_match_required"
        )
    if not matches(if_match, etag):
        raise PreconditionFailed(
            "It has changed since. Get it again and decide again.", code="if_match_failed", headers={"ETag": etag}
        )
