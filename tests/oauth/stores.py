"""The stores of tests as processes of their own open them too: imported soon, without pytest."""

from __future__ import annotations

from routermcp.oauth import (
    TokenAdapter,
    cloud_adapter,
    encrypted,
    file_adapter,
    memory_adapter,
    redis_adapter,
    sql_adapter,
)

#: What Fernet.generate_key() has returned once.
KEY = "4SSdTLGhyECmyXoUJb8DnlZ-7aJd0gZqzCUoXKWCN1U="


def open_store(store: str) -> TokenAdapter:
    """Return an adapter on a store."""
    kind, tenant, where = store.split(" ", 2)
    if kind in ("cloud", "brief_cloud"):
        return cloud_adapter("rmc_acts", base_url=where)
    if kind == "file":
        return file_adapter(where)
    if kind == "redis":
        return redis_adapter(where, tenant=tenant)
    if kind in ("sqlite", "postgres"):
        return sql_adapter(where, tenant=tenant)
    return encrypted(memory_adapter(), KEY) if kind == "encrypted" else memory_adapter()
