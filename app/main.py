"""The API: every router under one roof."""

from typing import Any

from fastapi import Depends, FastAPI

from app.audit_reports.routes import router as audit_reports
from app.audit_reports.stand_alone import follow
from app.catalogue.routes import router as catalogue
from app.datasets.routes import router as datasets
from app.forget_requests.routes import router as forget_requests
from app.jobs.routes import router as jobs
from app.keys.routes import router as keys
from app.models.routes import router as models
from app.purges.routes import router as purges
from app.searches.routes import router as searches
from app.signing_keys.routes import router as signing_keys
from app.web import openapi, problems
from app.web.dependencies import known_query
from app.web.health import router as health
from app.web.limits import BodyLimit
from app.webhooks.routes import router as webhooks

ROUTERS = (
    health,
    catalogue,
    datasets,
    models,
    purges,
    forget_requests,
    searches,
    jobs,
    audit_reports,
    keys,
    signing_keys,
    webhooks,
)


class Api(FastAPI):
    """FastAPI, with our OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """The document, problems included."""
        return openapi.document(self)


def create_app() -> FastAPI:
    """The application; settings are read when a request needs them."""
    app = Api(
        title="unlearnd",
        version="0.1.0",
        description="Makes deployed classifiers forget, and shows what it did.",
        dependencies=[Depends(known_query)],
        redirect_slashes=False,
    )
    app.state.follow_job = follow  # who cancels a job cancels what it was for, and that stands above jobs
    problems.install(app)
    app.add_middleware(BodyLimit)
    for router in ROUTERS:
        app.include_router(router)
    return app
