"""The HTTP API of ``cloud_adapter()``, served from any store of tokens; see ``docs/token-api.md``."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from urllib.parse import parse_qs, unquote_to_bytes

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.exceptions import OAuthError
from routermcp_proto.jsonrpc import ErrorObject

from ..oauth.store import AdapterLock, Record, TokenAdapter
from .asgi import Receive, Rejected, Reply, RequestHead, Send, read_body

T = TypeVar("T")

#: What all paths of the API begin with.
PREFIX = "/v1/oauth/users/"

#: Bytes of the longest record.
MAX_RECORD = 1024 * 1024

#: Seconds that a lock lasts without being renewed.
LEASE_SECONDS = 30.0

#: Records whose last fence is remembered. A writer that stalled for as long as it takes so many
#: others to be locked is refused like one that is late.
MAX_FENCES = 100_000


@dataclass(slots=True)
class _Lease:
    """A lock that a client holds."""

    token: str
    until: float
    lock: AdapterLock


class TokenAPI:
    """Serves a store of tokens to applications that act for users.

    Args:
        adapter: The store.
        clock: Tells the time, in seconds.
    """

    def __init__(self, adapter: TokenAdapter, clock: Callable[[], float] = time.monotonic) -> None:
        self._adapter = adapter
        self._clock = clock
        self._leases: dict[tuple[str, str], _Lease] = {}
        self._fences: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._forgotten = 0
        self._turn = asyncio.Lock()

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

    async def _do(self, work: Callable[[], T]) -> T:
        return work() if self._adapter.inline else await asyncio.to_thread(work)

    async def _list(self, head: RequestHead, user_id: str, reply: Reply) -> None:
        if head.method != "GET":
            raise _refused(405, "the list of servers takes GET")
        servers = await self._do(lambda: self._adapter.list(user_id))
        await _json(reply, {"servers": servers})

    async def _record(self, head: RequestHead, key: tuple[str, str], receive: Receive, reply: Reply) -> None:
        if head.method == "GET":
            record = await self._do(lambda: self._adapter.get(*key))
            await _json(reply, record, 200) if record is not None else await reply.empty(404)
        elif head.method == "DELETE":
            await self._do(lambda: self._adapter.delete(*key))
            await reply.empty(204)
        elif head.method == "PUT":
            record = await _object(head, receive)
            fence = head.get("X-Lock-Fence")
            async with self._turn:
                late = fence is not None and fence != str(self._fences.get(key, self._forgotten))
                if not late:
                    await self._do(lambda: self._adapter.set(*key, record))
            await reply.empty(409 if late else 204)
        else:
            raise _refused(405, "a record takes GET, PUT and DELETE")

    async def _lock(
        self, head: RequestHead, key: tuple[str, str], query: bytes, receive: Receive, reply: Reply
    ) -> None:
        if head.method == "DELETE":
            tokens = parse_qs(query.decode("ascii", "replace")).get("token", [""])
            await self._release(key, tokens[0])
            await reply.empty(204)
            return
        token = (await _object(head, receive)).get("token")
        if not isinstance(token, str) or not token:
            raise _refused(400, "a lock has a token")
        if head.method == "POST":
            fence = await self._acquire(key, token)
            held = fence is not None
            await _json(
                reply, {"fence": fence, "seconds": LEASE_SECONDS} if held else {}, 200 if held else 409
            )
        elif head.method == "PUT":
            await _json(reply, {}, 200 if await self._renew(key, token) else 409)
        else:
            raise _refused(405, "a lock takes POST, PUT and DELETE")

    # ---- leases --------------------------------------------------------------------------------

    async def _acquire(self, key: tuple[str, str], token: str) -> int | None:
        """Give a lock to a client; return its fence, None where somebody has it."""
        async with self._turn:
            held = self._leases.get(key)
            if held is not None and held.token == token:
                held.until = self._clock() + LEASE_SECONDS  # the answer to its first request was lost
                return self._fences[key]
            if held is not None and held.until > self._clock():
                return None
            if held is not None:
                del self._leases[key]
                await self._do(held.lock.release)
            lock = self._adapter.lock(*key)
            if not await self._do(lock.acquire):
                return None
            self._leases[key] = _Lease(token, self._clock() + LEASE_SECONDS, lock)
            fence = self._fences.pop(key, self._forgotten) + 1
            self._fences[key] = fence
            if len(self._fences) > MAX_FENCES:
                self._forgotten = max(self._forgotten, self._fences.popitem(last=False)[1])
            return fence

    async def _renew(self, key: tuple[str, str], token: str) -> bool:
        async with self._turn:
            held = self._leases.get(key)
            mine = held is not None and held.token == token and held.until > self._clock()
            if held is not None and mine:
                held.until = self._clock() + LEASE_SECONDS
                await self._do(held.lock.renew)
            return mine

    async def _release(self, key: tuple[str, str], token: str) -> None:
        async with self._turn:
            held = self._leases.get(key)
            if held is not None and held.token == token:
                del self._leases[key]
                await self._do(held.lock.release)


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
    return Rejected(status, ErrorObject(jsonrpc.INVALID_REQUEST, problem))
