"""What a key may be allowed: `resource:verb`."""

from enum import StrEnum


class Scope(StrEnum):
    """One permission; `*` is all of them."""

    ALL = "*"
    API_KEYS_READ = "api-keys:read"
    API_KEYS_WRITE = "api-keys:write"
    AUDIT_LOG_READ = "audit-log:read"
    AUDIT_REPORTS_READ = "audit-reports:read"
    AUDIT_REPORTS_WRITE = "audit-reports:write"
    CATALOGUE_READ = "catalogue:read"
    DATASETS_READ = "datasets:read"
    DATASETS_WRITE = "datasets:write"
    FORGET_REQUESTS_APPROVE = "forget-requests:approve"
    FORGET_REQUESTS_READ = "forget-requests:read"
    FORGET_REQUESTS_RELEASE = "forget-requests:release"
    FORGET_REQUESTS_WRITE = "forget-requests:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    MODEL_POLICIES_WRITE = "model-policies:write"
    MODELS_PURGE = "models:purge"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    SEARCHES_READ = "searches:read"
    SEARCHES_WRITE = "searches:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"


def covers(held: frozenset[Scope], wanted: Scope) -> bool:
    """Whether these scopes allow it."""
    return wanted in held or Scope.ALL in held
