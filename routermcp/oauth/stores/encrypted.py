"""Tokens that only this application can read, wherever they are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from routermcp_proto.exceptions import ConfigError, OAuthError

from .._optional import needs_extra
from .base import AdapterLock, Record, TokenAdapter, runtime_of
from .records import as_record, object_in

#: The only member of a record that was encrypted.
MEMBER = "encrypted"


class _Encrypted:
    """Encrypts records on their way to another adapter."""

    def __init__(self, adapter: TokenAdapter, keys: Sequence[str | bytes]) -> None:
        with needs_extra("encrypted()"):
            from cryptography.fernet import Fernet, InvalidToken, MultiFernet  # noqa: PLC0415
        fernet: MultiFernet | None = None
        with suppress(ValueError, TypeError):  # which may hold the key
            fernet = MultiFernet([Fernet(key) for key in keys])
        if fernet is None:
            raise ConfigError("a key of encrypted() is what Fernet.generate_key() returns")
        self._fernet = fernet
        self._invalid = InvalidToken
        self._adapter = adapter
        self.inline = adapter.inline

    def __repr__(self) -> str:
        return f"<encrypted {self._adapter!r}>"

    def get(self, user_id: str, server_id: str) -> Record | None:
        kept = self._adapter.get(user_id, server_id)
        if kept is None:
            return None
        where = f"the tokens of {user_id!r} for {server_id!r}"
        try:
            data = self._fernet.decrypt(str(kept.get(MEMBER, "")))
        except (self._invalid, ValueError) as error:
            raise OAuthError(f"{where} were encrypted with another key, or not at all") from error
        place = f"the record of {user_id!r} for {server_id!r}"
        value = as_record(object_in(data), place)
        if value.get("user_id") != user_id or value.get("server_id") != server_id:
            raise OAuthError(f"{where} belong to another user or server; sign in again")
        return as_record(value.get("record"), place)

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        value = {"user_id": user_id, "server_id": server_id, "record": record}
        sealed = self._fernet.encrypt(json.dumps(value).encode()).decode("ascii")
        self._adapter.set(user_id, server_id, {MEMBER: sealed}, lock=lock)

    def delete(self, user_id: str, server_id: str) -> None:
        self._adapter.delete(user_id, server_id)

    def list(self, user_id: str) -> list[str]:
        return self._adapter.list(user_id)

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        return self._adapter.lock(user_id, server_id)


def encrypted(adapter: TokenAdapter, key: str | bytes | Sequence[str | bytes]) -> TokenAdapter:
    """Encrypt tokens before they are kept.

    Args:
        adapter: Where they are kept.
        key: What ``cryptography.fernet.Fernet.generate_key()`` returns. Of several, the first
            one encrypts and all of them decrypt, so that a key can be replaced.

    Raises:
        ConfigError: It is no key, or ``cryptography`` is missing.
    """
    if runtime_of(adapter) is not None:
        raise ConfigError("encrypted() goes around an adapter with plain methods, a TokenAdapter")
    keys = [key] if isinstance(key, str | bytes) else list(key)
    if not keys:
        raise ConfigError("encrypted() needs a key")
    return _Encrypted(adapter, keys)
