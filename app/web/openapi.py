"""The OpenAPI document: every error is the one Problem, on every operation that can answer it."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.web.problems import ProblemOut, describe

_EVERYWHERE = (400, 413, 422, 500)
_WITH_A_KEY = (401, 403)


def document(app: FastAPI) -> dict[str, Any]:
    """The document of this application, made once."""
    if app.openapi_schema is None:
        found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        model = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(model.pop("$defs"))
        schemas["Problem"] = model
        for path in found["paths"].values():
            for operation in path.values():
                _complete(operation)
        app.openapi_schema = found
    return app.openapi_schema


def _complete(operation: dict[str, Any]) -> None:
    statuses = _EVERYWHERE + (_WITH_A_KEY if "security" in operation else ())
    problems = {str(status): response for status, response in describe(*statuses).items()}
    operation["responses"] = dict(sorted({**operation["responses"], **problems}.items()))
