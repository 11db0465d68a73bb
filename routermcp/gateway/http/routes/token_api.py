"""The HTTP API of ``cloud_adapter()``, served from any token store; see ``docs/token-api.md``."""

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
from ...sessions.owners import owner_details
from ...telemetry.audit import AuditedEvent, OnAudited, unheard
from ..asgi import Receive, RequestHead, ResponseWriter, Send, read_body
from .token_leases import LeaseKey, TokenLeases

#: The beginning of all paths of the API.
USERS_PATH = "/v1/oauth/users/"

#: Bytes of the longest record that an application may store.
MAX_RECORD_BODY = 1024 * 1024


class TokenAPI:
    """Serves a token store to applications that act for users.

    Args:
        adapter: The store.
        leases: Its locks, None to lease them as usual.

    Attributes:
        on_audited: Hears of tokens that are read, stored and deleted, and of leases.
    """

    def __init__(self, adapter: TokenAdapter, leases: TokenLeases | None = None) -> None:
        self.on_audited: OnAudited = unheard
        self._adapter = adapter
        self._leases = leases or TokenLeases(adapter)
        self._leases.on_expired = lambda key: self._note(AuditedEvent.LEASE_EXPIRED, key)

    def __repr__(self) -> str:
        return f"<TokenAPI of {self._adapter!r}>"

    async def answer(self, head: RequestHead, query: bytes, receive: Receive, send: Send) -> None:
        """Answer a request of an application that may act for users.

        Raises:
            Rejected: The request is not part of the API, or the store cannot be reached.
        """
        parts = head.path.removeprefix(USERS_PATH).split("/")
        known = 2 <= len(parts) <= 4 and parts[1] == "servers" and parts[3:] in ([], ["lock"])
        if not known:
            raise _token_api_refusal(404, "there is no such path; docs/token-api.md has them")
        ids = [_decoded_id(part) for part in (parts[0], *parts[2:3])]
        response = ResponseWriter(send)
        try:
            if len(parts) == 2:
                await self._list(head, ids[0], response)
            elif len(parts) == 3:
                await self._record(head, (ids[0], ids[1]), receive, response)
            else:
                await self._lock(head, (ids[0], ids[1]), query, receive, response)
        except OAuthError as error:
            raise _token_api_refusal(503, "the store of the tokens cannot be reached") from error

    def _note(self, event: AuditedEvent, key: LeaseKey, head: RequestHead | None = None) -> None:
        """Report an event of the tokens of a user at a server, and the application that it is of."""
        details: dict[str, str | int | None] = {"user": key[0], "server": key[1]}
        if head is not None:
            details |= {"key": owner_details(head.owner)["key"], "address": head.address}
        self.on_audited(event, details)

    async def close(self) -> None:
        """Release the locks that applications hold."""
        await self._leases.close()

    async def _list(self, head: RequestHead, user_id: str, response: ResponseWriter) -> None:
        if head.method != "GET":
            raise _token_api_refusal(405, "the list of servers takes GET")
        servers = await self._leases.run(lambda: self._adapter.list(user_id))
        await _send_json(response, {"servers": servers})

    async def _record(
        self, head: RequestHead, key: tuple[str, str], receive: Receive, response: ResponseWriter
    ) -> None:
        if head.method == "GET":
            record = await self._leases.run(lambda: self._adapter.get(*key))
            if record is not None:
                self._note(AuditedEvent.TOKENS_READ, key, head)
            await _send_json(response, record, 200) if record is not None else await response.empty(404)
        elif head.method == "DELETE":
            await self._leases.run(lambda: self._adapter.delete(*key))
            self._note(AuditedEvent.TOKENS_DELETED, key, head)
            await response.empty(204)
        elif head.method == "PUT":
            record = await _json_body(head, receive)
            stored = await self._leases.store(key, record, head.get("x-lock-fence"))
            if stored:
                self._note(AuditedEvent.TOKENS_STORED, key, head)
            await response.empty(204 if stored else 409)
        else:
            raise _token_api_refusal(405, "a record takes GET, PUT and DELETE")

    async def _lock(
        self,
        head: RequestHead,
        key: tuple[str, str],
        query: bytes,
        receive: Receive,
        response: ResponseWriter,
    ) -> None:
        if head.method == "DELETE":
            tokens = parse_qs(query.decode("ascii", "replace")).get("token", [""])
            if await self._leases.release(key, tokens[0]):
                self._note(AuditedEvent.LEASE_RELEASED, key, head)
            await response.empty(204)
            return
        token = (await _json_body(head, receive)).get("token")
        if not isinstance(token, str) or not token:
            raise _token_api_refusal(400, "a lock has a token")
        if head.method == "POST":
            fence = await self._leases.acquire(key, token)
            if fence is not None:
                self._note(AuditedEvent.LEASE_TAKEN, key, head)
            lease = {"fence": fence, "seconds": self._leases.seconds}
            await _send_json(response, lease if fence is not None else {}, 200 if fence is not None else 409)
        elif head.method == "PUT":
            await _send_json(response, {}, 200 if await self._leases.renew(key, token) else 409)
        else:
            raise _token_api_refusal(405, "a lock takes POST, PUT and DELETE")


def _decoded_id(part: str) -> str:
    """Return the id in a segment of a path, which begins with a tilde.

    Raises:
        Rejected: The segment holds no id (404, 400).
    """
    if not part.startswith("~"):
        raise _token_api_refusal(404, "an id in a path begins with ~")
    try:
        return unquote_to_bytes(part[1:]).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _token_api_refusal(400, "an id is text in UTF-8") from error


async def _json_body(head: RequestHead, receive: Receive) -> Record:
    body = await read_body(head, receive, MAX_RECORD_BODY)
    try:
        value: Any = from_json(body, allow_inf_nan=False)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _token_api_refusal(400, "the body is a JSON object")
    return cast("Record", value)


async def _send_json(response: ResponseWriter, value: Any, status: int = 200) -> None:
    await response.document(json.dumps(value).encode(), status, [(b"cache-control", b"no-store")])


def _token_api_refusal(status: int, problem: str) -> Rejected:
    return Rejected(status, ErrorObject(INVALID_REQUEST, problem))
