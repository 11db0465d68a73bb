"""Signing in, and where the tokens of users are kept."""

from __future__ import annotations

from .audit import AuditEvent
from .config import OAuthConfig
from .grants import client_credentials, enterprise_managed, workload_identity
from .memory import memory_adapter
from .store import AdapterLock, Record, TokenAdapter

__all__ = [
    "AdapterLock",
    "AuditEvent",
    "OAuthConfig",
    "Record",
    "TokenAdapter",
    "client_credentials",
    "enterprise_managed",
    "memory_adapter",
    "workload_identity",
]
