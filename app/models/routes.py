"""`/models`: registered networks, their versions, their aliases."""

import base64
from typing import Annotated

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from app.domain.policy import ModelPolicy
from app.keys.caller import Caller, requires
from app.models import aliases, policy, service
from app.models.schemas import AliasChangeOut, AliasIn, AliasOut, FisherIn, ModelIn, ModelOut, VersionOut
from app.models.uploads import ONE_WAY, TWO_WAYS, InitialDelivery, ModelRef, VersionDelivery, VersionRef, Writer
from app.tables import Model
from app.web.dependencies import IfMatch, IfNoneMatch, Paging, Reading, Transaction
from app.web.etags import conditional
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import NAME

router = APIRouter(prefix="/models", tags=["Models"])

AliasName = Annotated[str, Path(pattern=NAME)]
Reader = Annotated[Caller, requires("models:read")]
Governor = Annotated[Caller, requires("model-policies:write")]
POLLED = {**describe(404), 304: {"description": "Unchanged"}}
BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
WEIGHTS = {
    **describe(404, 409),
    200: {"description": "safetensors", "content": BINARY},
}


class WeightsResponse(FileResponse):
    """The whole file: a range of it has no digest, and its errors would be no problems."""

    media_type = "application/octet-stream"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a Range header may be ignored, and is."""
        kept = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": kept}, receive, send)


@router.post("", status_code=201, response_model=ModelOut, responses=describe(409))
def register(wish: ModelIn, session: Transaction, caller: Writer, response: Response) -> Model:
    """Register a model: network, preprocessing, recipe, and the data set it was trained on."""
    model = service.register(session, wish, tenant_id=caller.tenant_id, actor=caller.key_id)
    response.headers["Location"] = f"/models/{model.id}"
    return model


@router.get("")
def listing(session: Reading, caller: Reader, paging: Paging) -> Page[ModelOut]:
    """The tenant's models, newest first."""
    return service.listing(session, paging, tenant_id=caller.tenant_id)


@router.get("/{model}", response_model=ModelOut, responses=describe(404))
def get(model: ModelRef, session: Reading, caller: Reader) -> Model:
    """One model."""
    return service.get(session, model, tenant_id=caller.tenant_id)


@router.get("/{model}/policy", response_model=ModelPolicy, responses=POLLED)
def get_policy(model: ModelRef, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """Who approves, what an audit must show, who releases; the ETag is what a change must send as If-Match."""
    row = service.get(session, model, tenant_id=caller.tenant_id)
    return conditional(policy.get(row), if_none_match, etag=policy.etag(row))


@router.put("/{model}/policy", response_model=ModelPolicy, responses=describe(404, 412, 428))
def put_policy(
    model: ModelRef, wish: ModelPolicy, session: Transaction, caller: Governor, if_match: IfMatch = None
) -> Response:
    """Replace the policy, for requests to come; what is left out has its default again."""
    row = service.get(session, model, tenant_id=caller.tenant_id)
    row = policy.put(session, row, wish, if_match=if_match, actor=caller.key_id)
    return conditional(policy.get(row), None, etag=policy.etag(row))


@router.post("/{model}/queue/pause", response_model=ModelOut, responses=describe(404))
def pause_queue(model: ModelRef, session: Transaction, caller: Writer) -> Model:
    """Let no queued forget request of the model begin; the one that runs goes on. Again: nothing changes."""
    row = service.get(session, model, tenant_id=caller.tenant_id)
    return service.pause_queue(session, row, actor=caller.key_id)


@router.post("/{model}/queue/resume", response_model=ModelOut, responses=describe(404))
def resume_queue(model: ModelRef, session: Transaction, caller: Writer) -> Model:
    """Let them begin again, in their order. Again: nothing changes."""
    row = service.get(session, model, tenant_id=caller.tenant_id)
    return service.resume_queue(session, row, actor=caller.key_id)


@router.post("/{model}/versions", status_code=202, responses=describe(404, 409), openapi_extra=TWO_WAYS)
def add_version(
    model: ModelRef, delivery: VersionDelivery, session: Transaction, caller: Writer, response: Response
) -> VersionOut:
    """Add weights: safetensors in the body, or JSON with a path on the service's machine."""
    row = service.get(session, model, tenant_id=caller.tenant_id)
    version = service.add_version(
        session,
        row,
        delivery.weights,
        actor=caller.key_id,
        role=delivery.role,
        parent=delivery.parent,
        initial=delivery.initial,
        deltas=delivery.deltas,
        sha256=delivery.sha256,
    )
    response.headers["Location"] = f"/models/{row.id}/versions/{version.id}"
    response.headers["Retry-After"] = "2"
    return service.describe_version(session, version)


@router.get("/{model}/versions", responses=describe(404))
def versions(model: ModelRef, session: Reading, caller: Reader, paging: Paging) -> Page[VersionOut]:
    """The model's versions, newest first."""
    return service.versions(session, service.get(session, model, tenant_id=caller.tenant_id), paging)


@router.get("/{model}/versions/{version}", response_model=VersionOut, responses=POLLED)
def get_version(
    model: ModelRef, version: VersionRef, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None
) -> Response:
    """One version."""
    row = service.version_of(session, service.get(session, model, tenant_id=caller.tenant_id), version)
    return conditional(service.describe_version(session, row), if_none_match)


@router.get("/{model}/versions/{version}/weights", response_class=WeightsResponse, responses=WEIGHTS)
def weights(model: ModelRef, version: VersionRef, session: Reading, caller: Reader) -> WeightsResponse:
    """The weights, as safetensors, with their SHA-256 as ETag and as Repr-Digest."""
    row = service.version_of(session, service.get(session, model, tenant_id=caller.tenant_id), version)
    digest = base64.b64encode(bytes.fromhex(row.weights_sha256)).decode()
    headers = {"ETag": f'"{row.weights_sha256}"', "Accept-Ranges": "none", "Repr-Digest": f"sha-256=:{digest}:"}
    return WeightsResponse(service.readable_weights(session, row), headers=headers)


@router.put("/{model}/versions/{version}/initial-weights", responses=describe(404, 409), openapi_extra=ONE_WAY)
def add_initial_weights(
    model: ModelRef, version: VersionRef, delivery: InitialDelivery, session: Transaction, caller: Writer
) -> VersionOut:
    """The weights before training: written once, with the names, types and shapes of the weights."""
    row = service.version_of(session, service.get(session, model, tenant_id=caller.tenant_id), version)
    service.add_initial_weights(session, row, delivery, actor=caller.key_id)
    return service.describe_version(session, row)


@router.post("/{model}/versions/{version}/fisher", status_code=202, responses=describe(404, 409))
def compute_fisher(
    model: ModelRef,
    version: VersionRef,
    session: Transaction,
    caller: Writer,
    response: Response,
    wish: FisherIn | None = None,
) -> VersionOut:
    """Have the Fisher diagonal computed, where there is none; one job does it, or several share the work."""
    row = service.version_of(session, service.get(session, model, tenant_id=caller.tenant_id), version)
    service.compute_fisher(session, row, wish or FisherIn(), actor=caller.key_id)
    response.headers["Location"] = f"/jobs/{row.job_id}"
    response.headers["Retry-After"] = "2"
    return service.describe_version(session, row)


@router.get("/{model}/aliases", responses=describe(404))
def list_aliases(model: ModelRef, session: Reading, caller: Reader, paging: Paging) -> Page[AliasOut]:
    """The model's aliases."""
    return aliases.listing(session, service.get(session, model, tenant_id=caller.tenant_id), paging)


@router.get("/{model}/aliases/{alias}", response_model=AliasOut, responses=POLLED)
def get_alias(
    model: ModelRef, alias: AliasName, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None
) -> Response:
    """Where the alias points; the ETag is what a change must send as If-Match."""
    row = aliases.get(session, service.get(session, model, tenant_id=caller.tenant_id), alias)
    return conditional(AliasOut.model_validate(row), if_none_match, etag=aliases.etag(row))


@router.put("/{model}/aliases/{alias}", response_model=AliasOut, responses=describe(404, 409, 412, 428))
def point_alias(
    model: ModelRef,
    alias: AliasName,
    wish: AliasIn,
    session: Transaction,
    caller: Writer,
    if_match: IfMatch = None,
) -> Response:
    """Create the alias, or let it point elsewhere."""
    owner = service.get(session, model, tenant_id=caller.tenant_id)
    row = aliases.point(session, owner, alias, wish.version, if_match=if_match, actor=caller.key_id)
    return conditional(AliasOut.model_validate(row), None, etag=aliases.etag(row))


@router.get("/{model}/aliases/{alias}/history", responses=describe(404))
def alias_history(
    model: ModelRef, alias: AliasName, session: Reading, caller: Reader, paging: Paging
) -> Page[AliasChangeOut]:
    """All changes of the alias, newest first."""
    owner = service.get(session, model, tenant_id=caller.tenant_id)
    return aliases.history(session, aliases.get(session, owner, alias), paging)


@router.post("/{model}/aliases/{alias}/rollback", response_model=AliasOut, responses=describe(404, 409, 412))
def roll_back(
    model: ModelRef, alias: AliasName, session: Transaction, caller: Writer, if_match: IfMatch = None
) -> Response:
    """Let the alias point to where it pointed before its newest change."""
    owner = service.get(session, model, tenant_id=caller.tenant_id)
    row = aliases.roll_back(session, owner, alias, if_match=if_match, actor=caller.key_id)
    return conditional(AliasOut.model_validate(row), None, etag=aliases.etag(row))
