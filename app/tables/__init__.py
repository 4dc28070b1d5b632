"""Rows: one file per table, every row under a tenant. Importing this package knows the whole schema."""

from app.tables.alias import Alias, AliasChange
from app.tables.api_key import ApiKey
from app.tables.audit_log import AuditLogEntry
from app.tables.audit_log_head import AuditLogHead
from app.tables.audit_report import AuditReport
from app.tables.base import Base
from app.tables.dataset import Dataset
from app.tables.deadline_notice import DeadlineNotice
from app.tables.fan_out import FanOut
from app.tables.forget_request import ForgetRequest
from app.tables.gold_model import GoldModel
from app.tables.idempotency import IdempotencyRecord
from app.tables.job import Job, JobEvent
from app.tables.lease import Lease
from app.tables.model import Model
from app.tables.model_version import ModelVersion
from app.tables.outbox import OutboxMessage
from app.tables.search import Search, SearchTrial
from app.tables.signing_key import SigningKey
from app.tables.subject_key import SubjectKey
from app.tables.tenant import Tenant
from app.tables.tombstone import Tombstone
from app.tables.webhook import Webhook, WebhookDelivery

__all__ = [
    "Alias",
    "AliasChange",
    "ApiKey",
    "AuditLogEntry",
    "AuditLogHead",
    "AuditReport",
    "Base",
    "Dataset",
    "DeadlineNotice",
    "FanOut",
    "ForgetRequest",
    "GoldModel",
    "IdempotencyRecord",
    "Job",
    "JobEvent",
    "Lease",
    "Model",
    "ModelVersion",
    "OutboxMessage",
    "Search",
    "SearchTrial",
    "SigningKey",
    "SubjectKey",
    "Tenant",
    "Tombstone",
    "Webhook",
    "WebhookDelivery",
]
