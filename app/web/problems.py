"""Every error as `application/problem+json` (RFC 9457), with nothing of the caller's data in it."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException

from app.core.errors import BadRequest, FieldError, Invalid, Problem, Unavailable

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)

_FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CODES = {404: "no_such_path", 405: "method_not_allowed", 413: "content_too_large"}
_DETAILS = {
    404: "There is nothing at this path.",
    405: "This path does not answer that method.",
    413: "The body is over the limit of this service.",
}


class FieldErrorOut(BaseModel):
    """One wrong field: a JSON pointer into the body, or `query/…`, `path/…`, `header/…`."""

    pointer: str
    message: str


class ProblemOut(BaseModel):
    """An error. `code` is stable; `retryable` says whether the same request may succeed later."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    errors: list[FieldErrorOut]


def describe(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares in `responses`: these statuses are answered with a problem."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def respond(problem: Problem, instance: str, *, status: int | None = None, title: str | None = None) -> Response:
    """The problem as a response."""
    answered = status or problem.status
    document = {
        "type": f"urn:unlearnd:problem:{problem.code}",
        "title": title or problem.title,
        "status": answered,
        "detail": problem.detail,
        "instance": instance,
        "code": problem.code,
        "retryable": problem.retryable,
        "errors": [{"pointer": error.pointer, "message": error.message} for error in problem.errors],
        **problem.extra,
    }
    return Response(json.dumps(document), answered, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""
    app.add_exception_handler(Problem, _expected)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_the_router)
    for away in (OperationalError, NoConnection):
        app.add_exception_handler(away, _database_away)
    app.add_exception_handler(Exception, _unexpected)


async def _expected(request: Request, error: Exception) -> Response:
    return respond(error, request.scope["path"]) if isinstance(error, Problem) else await _unexpected(request, error)


async def _invalid(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        return await _unexpected(request, error)
    return respond(problem_of(error.errors(), error.body), request.scope["path"])


async def _of_the_router(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _unexpected(request, error)
    status = error.status_code
    problem = Problem(
        _DETAILS.get(status, "The request could not be read."),
        code=_CODES.get(status, "bad_request" if status < 500 else "internal_error"),
        headers=error.headers,
    )
    return respond(problem, request.scope["path"], status=status, title=HTTPStatus(status).phrase)


async def _database_away(request: Request, error: Exception) -> Response:
    log.warning("the database does not answer: %s", str(error).partition("\n")[0])
    problem = Unavailable(
        "The database does not answer. Nothing was changed unless the answer to a commit was lost: ask again, with the "
        "same Idempotency-Key where there was one.",
        code="database_unavailable",
        headers={"Retry-After": "5"},
    )
    return respond(problem, request.scope["path"])


async def _unexpected(request: Request, _error: Exception) -> Response:
    # The server logs the traceback; the caller learns nothing of the inside.
    return respond(
        Problem("Something went wrong here. It is logged; try again or tell the operator.", code="internal_error"),
        request.scope["path"],
    )


def problem_of(errors: Sequence[Mapping[str, Any]], body: Any) -> Problem:
    """What pydantic found, as one problem."""
    if any(error["type"] == "json_invalid" for error in errors):
        return BadRequest("The body is not JSON.", code="invalid_json")
    fields = [FieldError(_pointer(error, body), _message(error)) for error in errors]
    return Invalid("The request is understood but wrong; see `errors`.", code="invalid_request", errors=fields)


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "union_tag_invalid":  # pydantic's own sentence repeats the input
        return f"Must be one of {error['ctx']['expected_tags']}"
    return str(error["msg"])


def _pointer(error: Mapping[str, Any], body: Any) -> str:
    """RFC 6901, by walking the body: what pydantic adds to its locations (tags of unions) is not in there."""
    where, *path = error["loc"]
    if where != "body":
        return "/".join(str(part) for part in (where, *path))
    steps: list[str] = []
    here = body
    for number, part in enumerate(path):
        if (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int)):
            here = here[part]
            steps.append(_safe(part))
        elif error["type"] == "missing" and number == len(path) - 1:
            steps.append(_safe(part))
    return "".join(f"/{step}" for step in steps)


def _safe(part: str | int) -> str:
    # A key that nobody would call a field may be somebody's name: it is not repeated.
    text = str(part)
    return text if _FIELD_NAME.fullmatch(text) else "…"
