"""`/models/{m}/versions/{v}/purge`."""

from typing import Annotated

from fastapi import APIRouter, Response

from app.keys.caller import Caller, requires
from app.models import service as models
from app.models.schemas import VersionOut
from app.models.uploads import ModelRef, VersionRef
from app.purges import service
from app.purges.schemas import PurgeIn
from app.web.dependencies import IfMatch, Transaction
from app.web.etags import conditional
from app.web.problems import describe

router = APIRouter(prefix="/models", tags=["Models"])

Purger = Annotated[Caller, requires("models:purge")]


@router.post(
    "/{model}/versions/{version}/purge",
    status_code=202,
    response_model=VersionOut,
    responses=describe(404, 409, 412, 428),
)
def purge(
    model: ModelRef,
    version: VersionRef,
    wish: PurgeIn,
    session: Transaction,
    caller: Purger,
    if_match: IfMatch = None,
) -> Response:
    """Destroy the weights, the Fisher diagonal and the initial weights of a version, for ever.

    The files are gone at `destroyed_at`, seconds later. Lineage, reports and the audit log stay.
    """
    owner = models.get(session, model, tenant_id=caller.tenant_id)
    row = models.version_of(session, owner, version)
    row = service.purge(session, owner, row, wish, if_match=if_match, actor=caller.key_id)
    return conditional(models.describe_version(session, row), None, status=202)
