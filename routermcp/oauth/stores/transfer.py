"""The records of a user as one JSON document, to be taken from one store to another."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, cast

from routermcp_proto.exceptions import ConfigError, TokenStoreError

from .base import Record, TokenAdapter, runtime_of

#: The version of the documents that are written and read.
DOCUMENT_VERSION = 1

#: The user id of the records that hold the registrations of an application: no user's.
_NO_USER = ""

#: Seconds to wait for a record that another process is renewing.
LOCK_SECONDS = 30.0

#: Seconds between two attempts to take its lock.
LOCK_POLL_SECONDS = 0.05


def export_records(adapter: TokenAdapter, user_id: str) -> dict[str, Any]:
    """Return all that a store holds of a user, as a JSON document.

    It holds tokens in plain text: a reader of it can act as that user at each server. A refresh token that
    is good once is good at one place: stop using the store that it was exported from.

    Args:
        adapter: The store; one with plain methods.
        user_id: The user; ``"default"`` for the only one of a client, as on the command line.

    Returns:
        ``version``, ``user_id``, ``records`` by server, and the application's ``registrations`` at
        the authorization servers of these.

    Raises:
        ConfigError: The methods of the adapter are awaited.
        TokenStoreError: The store cannot be reached.
    """
    _check(adapter)
    servers = adapter.list(user_id)
    return {
        "version": DOCUMENT_VERSION,
        "user_id": user_id,
        "records": {each: record for each in servers if (record := adapter.get(user_id, each))},
        "registrations": {each: record for each in servers if (record := adapter.get(_NO_USER, each))},
    }


def import_records(adapter: TokenAdapter, document: Mapping[str, Any], *, replace: bool = False) -> list[str]:
    """Keep the records of an exported document.

    Args:
        adapter: The store; one with plain methods.
        document: What :func:`export_records` has returned.
        replace: Whether to write over records that are there; they stay otherwise.

    Returns:
        The servers whose records were written.

    Raises:
        ConfigError: It is no such document, or the methods of the adapter are awaited.
        TokenStoreError: The store cannot be reached, or another process holds a record.
    """
    _check(adapter)
    user_id, records = document.get("user_id"), _records_in(document, "records")
    if document.get("version") != DOCUMENT_VERSION or not isinstance(user_id, str):
        raise ConfigError("that is no document that export_records() has made")
    registrations = _records_in(document, "registrations")
    written: list[str] = []
    for server_id, record in records.items():
        if _write(adapter, user_id, server_id, record, replace=replace):
            written.append(server_id)
            if server_id in registrations:
                _write(adapter, _NO_USER, server_id, registrations[server_id], replace=replace)
    return written


def _records_in(document: Mapping[str, Any], name: str) -> dict[str, Record]:
    found: Any = document.get(name)
    records = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if not isinstance(found, dict) or not all(isinstance(record, dict) for record in records.values()):
        raise ConfigError("that is no document that export_records() has made")
    return records


def _write(adapter: TokenAdapter, user_id: str, server_id: str, record: Record, *, replace: bool) -> bool:
    lock, until = adapter.lock(user_id, server_id), time.monotonic() + LOCK_SECONDS
    while not lock.acquire():
        if time.monotonic() >= until:
            raise TokenStoreError(f"another process holds the record of {server_id!r}")
        time.sleep(LOCK_POLL_SECONDS)
    try:
        if not replace and adapter.get(user_id, server_id) is not None:
            return False
        adapter.set(user_id, server_id, record, lock=lock)
        return True
    finally:
        lock.release()


def _check(adapter: TokenAdapter) -> None:
    if runtime_of(adapter) is not None:
        raise ConfigError("records are exported from and imported into adapters with plain methods")
