"""Signing in, and where the tokens of users are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_on_use

if TYPE_CHECKING:
    from routermcp_proto.oauth.metadata import AuthorizationServer

    from .audit import AuditEvent
    from .config import OAuthConfig
    from .device import UserCode, device_code
    from .grants import client_credentials, enterprise_managed, workload_identity
    from .loopback import loopback_receiver
    from .paste import paste_receiver
    from .stores.base import AdapterLock, AsyncAdapterLock, AsyncTokenAdapter, Record, TokenAdapter
    from .stores.cloud import cloud_adapter
    from .stores.encrypted import encrypted
    from .stores.file import file_adapter
    from .stores.keyring import keyring_adapter
    from .stores.memory import memory_adapter
    from .stores.redis import redis_adapter
    from .stores.sql import sql_adapter
    from .stores.transfer import export_records, import_records

__all__ = [
    "AdapterLock",
    "AsyncAdapterLock",
    "AsyncTokenAdapter",
    "AuditEvent",
    "AuthorizationServer",
    "OAuthConfig",
    "Record",
    "TokenAdapter",
    "UserCode",
    "client_credentials",
    "cloud_adapter",
    "device_code",
    "encrypted",
    "enterprise_managed",
    "export_records",
    "file_adapter",
    "import_records",
    "keyring_adapter",
    "loopback_receiver",
    "memory_adapter",
    "paste_receiver",
    "redis_adapter",
    "sql_adapter",
    "workload_identity",
]

if not TYPE_CHECKING:  # with it, type checkers would take every name for one of these
    __getattr__ = imported_on_use(
        __name__,
        {
            "AdapterLock": ".stores.base",
            "AsyncAdapterLock": ".stores.base",
            "AsyncTokenAdapter": ".stores.base",
            "AuditEvent": ".audit",
            "AuthorizationServer": "routermcp_proto.oauth.metadata",
            "OAuthConfig": ".config",
            "Record": ".stores.base",
            "TokenAdapter": ".stores.base",
            "UserCode": ".device",
            "client_credentials": ".grants",
            "cloud_adapter": ".stores.cloud",
            "device_code": ".device",
            "encrypted": ".stores.encrypted",
            "enterprise_managed": ".grants",
            "export_records": ".stores.transfer",
            "file_adapter": ".stores.file",
            "import_records": ".stores.transfer",
            "keyring_adapter": ".stores.keyring",
            "loopback_receiver": ".loopback",
            "memory_adapter": ".stores.memory",
            "paste_receiver": ".paste",
            "redis_adapter": ".stores.redis",
            "sql_adapter": ".stores.sql",
            "workload_identity": ".grants",
        },
    )
