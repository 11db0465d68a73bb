"""The ``_meta`` of a client's requests: the stamp of the stateless era, and the user's own members."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from .. import jsonrpc
from ..exceptions import LocalProtocolError
from ..names import CAPABILITIES_KEY, CLIENT_INFO_KEY, PROTOCOL_VERSION_KEY
from ..types.meta import problem_of
from ..versions import Revision

#: Members of ``_meta`` that the session writes itself.
RESERVED_META = frozenset({"progressToken", PROTOCOL_VERSION_KEY, CLIENT_INFO_KEY, CAPABILITIES_KEY})

#: Stamps that sessions share: an application has a few, its sessions may be ten thousand.
MAX_STAMPS = 64


def encode_stamp(
    revision: Revision, client_info: Mapping[str, Any], capabilities: Mapping[str, Any]
) -> bytes:
    """Encode the members that every request of the stateless era carries; equal stamps are one object."""
    members = {
        PROTOCOL_VERSION_KEY: revision.name,
        CLIENT_INFO_KEY: client_info,
        CAPABILITIES_KEY: capabilities,
    }
    return _interned(jsonrpc.dumps(members))


@lru_cache(maxsize=MAX_STAMPS)
def _interned(stamp: bytes) -> bytes:
    return stamp


def encode_meta(meta: Mapping[str, Any]) -> bytes:
    """Encode the members that the user adds to a request.

    Raises:
        LocalProtocolError: The session writes one of them itself, or one breaks the grammar of ``_meta``.
    """
    reserved = RESERVED_META.intersection(meta)
    if reserved:
        raise LocalProtocolError(f"meta must not set {min(reserved)!r}: the client writes it itself")
    for key, value in meta.items():
        problem = problem_of(key, value)
        if problem is not None:
            raise LocalProtocolError(f"meta: {key!r:.100} {problem}")
    return jsonrpc.dumps(dict(meta), "meta")


def join_members(first: bytes, second: bytes) -> bytes:
    """Join two encoded JSON objects that have no member in common."""
    return first[:-1] + b"," + second[1:] if second else first
