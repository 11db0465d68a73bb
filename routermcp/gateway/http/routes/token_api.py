"""The HTTP API of ``cloud_adapter()``, served from any store of tokens; see ``docs/token-api.md``."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import parse_qs, unquote_to_bytes

from pydantic_core import from_json

from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.exceptions import OAuthError
from routermcp_proto.jsonrpc import ErrorObject

from ....oauth.stores.base import Record, TokenAdapter
from ...errors import Rejected
from ..asgi import Receive, Reply, RequestHead, Send, read_body
from . import token_leases as leases
from .token_leases import Leases

#: What all paths of the API begin with.
PREFIX = "/v1/oauth/users/"

#: Bytes of the longest record.
MAX_RECORD = 1024 * 1024


class TokenAPI:
    """Serves a store of tokens to applications that act for users.

    Args:
        adapter: The store.
    """

    def __init__(self, adapter: TokenAdapter) -> None:
        self._adapter = adapter
        self._leases = Leases(adapter)

    def __repr__(self) -> str:
        return f"<TokenAPI of {self._adapter!r}>"

    async def answer(self, head: RequestHead, query: bytes, receive: Receive, send: Send) -> None:
        """Answer a request of somebody who may act for users.

        Raises:
            Rejected: It is none of the API, or the store cannot be reached.
        """
        parts = head.path.removeprefix(PREFIX).split("/")
        known = 2 <= len(parts) <= 4 and parts[1] == "servers" and parts[3:] in ([], ["lock"])
        if not known:
            raise _refused(404, "there is no such path; docs/token-api.md has them")
        ids = [_id(part) for part in (parts[0], *parts[2:3])]
        reply = Reply(send)
        try:
            if len(parts) == 2:
                await self._list(head, ids[0], reply)
            elif len(parts) == 3:
                await self._record(head, (ids[0], ids[1]), receive, reply)
            else:
                await self._lock(head, (ids[0], ids[1]), query, receive, reply)
        except OAuthError as error:
            raise _refused(503, "the store of the tokens cannot be reached") from error

    async def close(self) -> None:
        """Give up the locks that applications hold."""
        await self._leases.close()

    async def _list(self, head: RequestHead, user_id: str, reply: Reply) -> None:
        if head.method != "GET":
            raise _refused(405, "the list of servers takes GET")
        servers = await self._leases.do(lambda: self._adapter.list(user_id))
        await _json(reply, {"servers": servers})

    async def _record(self, head: RequestHead, key: tuple[str, str], receive: Receive, reply: Reply) -> None:
        if head.method == "GET":
            record = await self._leases.do(lambda: self._adapter.get(*key))
            await _json(reply, record, 200) if record is not None else await reply.empty(404)
        elif head.method == "DELETE":
            await self._leases.do(lambda: self._adapter.delete(*key))
            await reply.empty(204)
        elif head.method == "PUT":
            record = await _object(head, receive)
            kept = await self._leases.keep(key, record, head.get("X-Lock-Fence"))
            await reply.empty(204 if kept else 409)
        else:
            raise _refused(405, "a record takes GET, PUT and DELETE")

    async def _lock(
        self, head: RequestHead, key: tuple[str, str], query: bytes, receive: Receive, reply: Reply
    ) -> None:
        if head.method == "DELETE":
            tokens = parse_qs(query.decode("ascii", "replace")).get("token", [""])
            await self._leases.release(key, tokens[0])
            await reply.empty(204)
            return
        token = (await _object(head, receive)).get("token")
        if not isinstance(token, str) or not token:
            raise _refused(400, "a lock has a token")
        if head.method == "POST":
            fence = await self._leases.acquire(key, token)
            lent = {"fence": fence, "seconds": leases.LEASE_SECONDS}
            await _json(reply, lent if fence is not None else {}, 200 if fence is not None else 409)
        elif head.method == "PUT":
            await _json(reply, {}, 200 if await self._leases.renew(key, token) else 409)
        else:
            raise _refused(405, "a lock takes POST, PUT and DELETE")


def _id(part: str) -> str:
    """Return the id in a segment of a path, which begins with a tilde.

    Raises:
        Rejected: There is none.
    """
    if not part.startswith("~"):
        raise _refused(404, "an id in a path begins with ~")
    try:
        return unquote_to_bytes(part[1:]).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _refused(400, "an id is text in UTF-8") from error


async def _object(head: RequestHead, receive: Receive) -> Record:
    body = await read_body(head, receive, MAX_RECORD)
    try:
        value: Any = from_json(body, allow_inf_nan=False)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _refused(400, "the body is a JSON object")
    return cast("Record", value)


async def _json(reply: Reply, value: Any, status: int = 200) -> None:
    await reply.json(json.dumps(value).encode(), status, [(b"cache-control", b"no-store")])


def _refused(status: int, problem: str) -> Rejected:
    return Rejected(status, ErrorObject(INVALID_REQUEST, problem))
