"""How large a body may be: declared and undeclared lengths, before anything is read into memory."""

import re

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import TooLarge
from app.core.settings import get_settings
from app.web.problems import respond

_UPLOADS = re.compile(r"/models/[^/]+/versions(/[^/]+/initial-weights)?")
"""The paths that stream their body to disk; all others read it into memory."""


class BodyLimit:
    """Refuse a body that says it is too large, and stop one that turns out to be."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that cannot grow over the limit."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = _limit(scope)
        if _declared(scope) > limit:
            problem = TooLarge("The body is over the limit of this service.", code="content_too_large")
            await respond(problem, scope["path"])(scope, receive, send)
            return
        await self.app(scope, _counted(receive, limit), send)


def _counted(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413)  # the one exception that FastAPI lets through while it reads a body
        return message

    return counting


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _declared(scope: Scope) -> int:
    length = _header(scope, b"content-length")
    return int(length) if length.isdigit() else 0


def _limit(scope: Scope) -> int:
    settings = get_settings()
    streamed = _header(scope, b"content-type").split(b";")[0].strip().lower() == b"application/octet-stream"
    upload = streamed and _UPLOADS.fullmatch(scope["path"])
    return settings.upload_limit_bytes if upload else settings.body_limit_bytes
