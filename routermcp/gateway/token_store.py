"""From the configuration to where the tokens of users are kept."""

from __future__ import annotations

from ..oauth.cloud import cloud_adapter
from ..oauth.encryption import encrypted
from ..oauth.file import file_adapter
from ..oauth.memory import memory_adapter
from ..oauth.redis import redis_adapter
from ..oauth.sql import sql_adapter
from ..oauth.store import TokenAdapter
from .config_oauth import OAuthSettings


def store_of(settings: OAuthSettings) -> TokenAdapter:
    """Return the adapter that a configuration describes.

    Raises:
        ConfigError: It cannot be used, or a library is missing.
    """
    adapter = _plain(settings)
    keys = [key.get_secret_value() for key in settings.encryptionKeys]
    return encrypted(adapter, keys) if keys else adapter


def _plain(settings: OAuthSettings) -> TokenAdapter:
    url = settings.store.get_secret_value()
    kind, _, rest = url.partition(":")
    if kind == "memory":
        return memory_adapter()
    if kind == "file":
        return file_adapter(rest or None)
    if kind in ("redis", "rediss"):
        return redis_adapter(url)
    if kind in ("http", "https"):
        return cloud_adapter(settings.apiKey.get_secret_value() if settings.apiKey else "", base_url=url)
    return sql_adapter(url)
