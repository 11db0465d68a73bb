"""The store of tokens that a URL names, for configurations."""

from __future__ import annotations

from .base import TokenAdapter
from .cloud import cloud_adapter
from .file import file_adapter
from .memory import memory_adapter
from .redis import redis_adapter
from .sql import sql_adapter


def token_store_by_url(url: str, *, api_key: str = "") -> TokenAdapter:
    """Return the adapter of the store at a URL.

    Args:
        url: ``memory:``, ``file:`` with a folder, ``redis://``, ``rediss://``, ``http://`` or
            ``https://`` for RouterMCP's own store, else a database of SQLAlchemy.
        api_key: The key for RouterMCP's own store.

    Raises:
        ConfigError: The store cannot be used, or a library is missing.
    """
    kind, _, rest = url.partition(":")
    if kind == "memory":
        return memory_adapter()
    if kind == "file":
        return file_adapter(rest or None)
    if kind in ("redis", "rediss"):
        return redis_adapter(url)
    if kind in ("http", "https"):
        return cloud_adapter(api_key, base_url=url)
    return sql_adapter(url)
