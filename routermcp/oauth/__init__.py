"""Signing in, and where the tokens of users are kept."""

from __future__ import annotations

from .audit import AuditEvent
from .cloud import cloud_adapter
from .config import OAuthConfig
from .encryption import encrypted
from .file import file_adapter
from .grants import client_credentials, enterprise_managed, workload_identity
from .memory import memory_adapter
from .receiver import loopback_receiver
from .redis import redis_adapter
from .sql import sql_adapter
from .store import AdapterLock, AsyncAdapterLock, AsyncTokenAdapter, Record, TokenAdapter

__all__ = [
    "AdapterLock",
    "AsyncAdapterLock",
    "AsyncTokenAdapter",
    "AuditEvent",
    "OAuthConfig",
    "Record",
    "TokenAdapter",
    "client_credentials",
    "cloud_adapter",
    "encrypted",
    "enterprise_managed",
    "file_adapter",
    "loopback_receiver",
    "memory_adapter",
    "redis_adapter",
    "sql_adapter",
    "workload_identity",
]
