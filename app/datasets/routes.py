"""`/datasets`: registered, validated in the background, polled."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.datasets import service
from app.datasets.schemas import DatasetIn, DatasetOut
from app.keys.caller import Caller, requires
from app.tables import Dataset
from app.web.dependencies import IfNoneMatch, Paging, Reading, Transaction
from app.web.etags import conditional
from app.web.pages import Page
from app.web.problems import describe
from app.web.text import NAME

router = APIRouter(prefix="/datasets", tags=["Data sets"])

DatasetRef = Annotated[str, Path(pattern=NAME, description="Name or id.")]
Reader = Annotated[Caller, requires("datasets:read")]
Writer = Annotated[Caller, requires("datasets:write")]


@router.post("", status_code=202, response_model=DatasetOut, responses=describe(409))
def register(wish: DatasetIn, session: Transaction, caller: Writer, response: Response) -> Dataset:
    """Register a data set. It is validated in the background."""
    dataset = service.register(session, wish, tenant_id=caller.tenant_id, actor=caller.key_id)
    response.headers["Location"] = f"/datasets/{dataset.id}"
    response.headers["Retry-After"] = "2"
    return dataset


@router.get("")
def listing(session: Reading, caller: Reader, paging: Paging) -> Page[DatasetOut]:
    """The tenant's data sets, newest first."""
    return service.listing(session, paging, tenant_id=caller.tenant_id)


@router.get("/{dataset}", response_model=DatasetOut, responses={**describe(404), 304: {"description": "Unchanged"}})
def get(dataset: DatasetRef, session: Reading, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
    """One data set."""
    row = service.get(session, dataset, tenant_id=caller.tenant_id)
    return conditional(DatasetOut.model_validate(row), if_none_match)
