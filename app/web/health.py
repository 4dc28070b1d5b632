"""`/healthz` and `/readyz`: alive, and able to work. The only routes without a key."""

import os
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.core import schema
from app.core.settings import get_settings

router = APIRouter(tags=["Health"])


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """What is there and what is not."""

    ready: bool
    checks: dict[str, bool]


@router.get("/healthz")
def healthz() -> Health:
    """Alive."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Something is missing; see `checks`."}})
def readyz(response: Response) -> Readiness:
    """Ready: the database at the newest migration, storage that can be written, the broker if one is used."""
    found = check()
    response.status_code = 200 if found.ready else 503
    return found


def check() -> Readiness:
    """Look at everything that a request may need."""
    checks = {"database": _database(), "storage": _storage()}
    if get_settings().executor == "celery":
        checks["broker"] = _broker()
    return Readiness(ready=all(checks.values()), checks=checks)


def _database() -> bool:
    try:
        return schema.is_current()
    except SQLAlchemyError:
        return False


def _storage() -> bool:
    storage = get_settings().storage
    try:
        storage.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(storage, os.W_OK | os.X_OK)


def _broker() -> bool:
    try:
        with Redis.from_url(get_settings().redis_url, socket_timeout=2, socket_connect_timeout=2) as redis:
            redis.ping()
    except RedisError:
        return False
    return True
