"""The server's side of an MCP session.

The machine itself answers every request whose answer is the same for all servers:
``initialize``, ``ping``, ``server/discover``, a request without the metadata of its era, an
unknown revision, a method of the other era. All others arrive as :class:`RequestReceived`
and are answered with ``answer`` or ``refuse``.

One machine serves both eras on one stream, as a dual-era server does: a request that
carries a protocol version in its ``_meta`` is stateless, ``initialize`` opens a session
(MCP 2026-07-28, Versioning, "Backward Compatibility").
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, cast

from . import jsonrpc
from .calls import Call
from .error_codes import INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, UNSUPPORTED_VERSION
from .events import Event, MessageReady, NotificationReceived, Outgoing, RequestReceived
from .exceptions import LocalProtocolError
from .jsonrpc import ErrorObject, RequestId
from .names import CAPABILITIES_KEY, PROTOCOL_VERSION_KEY, SERVER_INFO_KEY
from .session.base import NO_ROOM
from .session.lines import LineSession
from .states import SessionInput, SessionState
from .versions import LATEST, LATEST_HANDSHAKE, REVISIONS, Era, Revision

#: Methods that exist in one era only (MCP 2026-07-28, Changelog).
HANDSHAKE_ONLY = frozenset(
    {
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
    }
)
STATELESS_ONLY = frozenset({"server/discover", "subscriptions/listen"})

#: Methods whose results carry caching hints (MCP 2026-07-28, Caching).
CACHEABLE = frozenset(
    {
        "server/discover",
        "tools/list",
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
    }
)


class ServerSession(LineSession):
    """The machine of a server.

    Args:
        server_info: Name and version of the server, as they go on the wire.
        capabilities: The server's ``ServerCapabilities``, as they go on the wire.
        instructions: How to use the server, for language models.
        ttl: Milliseconds for which lists may be cached, unless a result says otherwise.
        cache_scope: The ``cacheScope`` of lists: ``"public"`` or ``"private"``.
        max_message_size: Bytes of the longest message.
        request_prefix: Prefix of the ids of the machine's own requests; if empty, ids are
            numbers. Machines that serve the same session need different prefixes, so that an
            answer finds the machine that sent the request.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "_cache_scope",
        "_capabilities",
        "_client",
        "_instructions",
        "_methods",
        "_server_info",
        "_ttl",
    )

    def __init__(
        self,
        *,
        server_info: Mapping[str, Any],
        capabilities: Mapping[str, Any],
        instructions: str | None = None,
        ttl: int = 0,
        cache_scope: str = "private",
        max_message_size: int | None = None,
        request_prefix: str = "",
    ) -> None:
        super().__init__(max_message_size=max_message_size)
        if request_prefix:
            self._ids = (f"{request_prefix}{number}" for number in itertools.count(1))
        self._server_info = dict(server_info)
        self._capabilities = dict(capabilities)
        self._instructions = instructions
        self._ttl = ttl
        self._cache_scope = cache_scope
        self._client: Mapping[str, Any] = {}
        self._methods: dict[RequestId, str] = {}

    @property
    def client(self) -> Mapping[str, Any]:
        """The parameters of the client's ``initialize``, empty before it and in the stateless era."""
        return self._client

    def resume(self, client: Mapping[str, Any], revision: Revision) -> None:
        """Continue a session that another machine has opened.

        State:
            NEW -> READY.

        Args:
            client: The parameters of the client's ``initialize``.
            revision: The revision that was agreed on.
        """
        self._move(SessionInput.INITIALIZE)
        self._client = client
        self._revision = revision
        self._move(SessionInput.AGREE)

    # ---- sending -------------------------------------------------------------------

    def start_request(self, call: Call[Any], *, deadline: float | None = None) -> Outgoing:
        """Encode a request to the client, such as ``elicitation/create``.

        Raises:
            LocalProtocolError: The session is not READY, which it never is in the stateless
                era: there a server asks for input in a result.
        """
        if self._state is not SessionState.READY:
            raise LocalProtocolError("only a session of the handshake era sends requests to its client")
        request_id = self._register(call, deadline)
        payload = jsonrpc.encode_request(request_id, call.method, call.params)
        return Outgoing(payload, call.method, request_id, call)

    def send_request(self, call: Call[Any], *, deadline: float | None = None) -> RequestId:
        """Queue a request to the client; then send :meth:`data_to_send`.

        Raises:
            LocalProtocolError: As :meth:`start_request`.
        """
        outgoing = self.start_request(call, deadline=deadline)
        self._queue(outgoing.payload)
        return outgoing.request_id or 0

    def report_progress(
        self, token: RequestId, progress: float, *, total: float | None = None, message: str | None = None
    ) -> Outgoing:
        """Encode a progress report for the request that carries that token."""
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        return self.start_notification("notifications/progress", params)

    def _stamp_result(self, result: Mapping[str, Any], revision: Revision) -> Mapping[str, Any]:
        if not revision.stamps_requests:
            return result
        stamped: dict[str, Any] = {"resultType": "complete", **result}
        own: Mapping[str, Any] = result.get("_meta") or {}
        stamped["_meta"] = {SERVER_INFO_KEY: self._server_info, **own}
        return stamped

    def answer(self, request_id: RequestId, result: Mapping[str, Any]) -> bytes:
        """Encode the result of a request, with the members that its era adds to every result.

        Raises:
            LocalProtocolError: The client sent no such request, or JSON cannot hold the result.
        """
        method = self._methods.pop(request_id, "")
        revision = self._asked.get(request_id)
        if revision is not None and revision.stamps_requests and method in CACHEABLE:
            hints = {"ttlMs": self._ttl, "cacheScope": self._cache_scope}
            if result.get("resultType", "complete") == "complete":
                result = {**hints, **result}
        return super().answer(request_id, result)

    def refuse(self, request_id: RequestId, error: ErrorObject) -> bytes:
        """Encode an error as the answer to a request; see :meth:`Session.refuse`."""
        self._methods.pop(request_id, None)
        return super().refuse(request_id, error)

    # ---- receiving -------------------------------------------------------------------

    def _on_request(self, message: jsonrpc.Request, events: list[Event]) -> None:
        meta = message.params.get("_meta")
        own: dict[str, Any] = meta if isinstance(meta, dict) else {}  # pyright: ignore[reportUnknownVariableType]
        version = own.get(PROTOCOL_VERSION_KEY)
        if version is None and message.method in STATELESS_ONLY:
            error = ErrorObject(INVALID_PARAMS, f"{message.method} needs {PROTOCOL_VERSION_KEY} in _meta")
            events.append(self._reply(message.id, error))
        elif version is None:
            self._on_session_request(message, own, events)
        else:
            self._on_stateless_request(message, own, version, events)

    def _on_stateless_request(
        self, message: jsonrpc.Request, meta: dict[str, Any], version: Any, events: list[Event]
    ) -> None:
        revision = REVISIONS.get(version) if isinstance(version, str) else None
        capabilities = meta.get(CAPABILITIES_KEY)
        error: ErrorObject | None = None
        if revision is None or revision.era is not Era.STATELESS:
            data = {"supported": _stateless_versions(), "requested": version}
            error = ErrorObject(UNSUPPORTED_VERSION, "unsupported protocol version", data)
        elif not isinstance(capabilities, dict):
            error = ErrorObject(INVALID_PARAMS, f"_meta lacks {CAPABILITIES_KEY}")
        elif message.method in HANDSHAKE_ONLY:
            error = ErrorObject(METHOD_NOT_FOUND, f"{message.method} does not exist in MCP {revision.name}")
        if error is not None or revision is None:
            events.append(self._reply(message.id, error or ErrorObject(INVALID_PARAMS, "unsupported")))
            return
        if message.method == "server/discover" and self._admit_method(message, revision, events):
            events.append(MessageReady(Outgoing(self.answer(message.id, self._description()))))
        elif message.method != "server/discover" and self._admit_method(message, revision, events):
            declared = cast("dict[str, Any]", capabilities)
            events.append(_request_event(message, revision, declared, meta))

    def _on_session_request(
        self, message: jsonrpc.Request, meta: dict[str, Any], events: list[Event]
    ) -> None:
        revision = self._revision or LATEST_HANDSHAKE
        if message.method == "initialize":
            self._on_initialize(message, events)
        elif message.method == "ping":
            events.append(MessageReady(Outgoing(jsonrpc.encode_response(message.id, {}))))
        elif self._admit_method(message, revision, events):
            capabilities = self._client.get("capabilities")
            declared = cast("dict[str, Any]", capabilities) if isinstance(capabilities, dict) else {}
            events.append(_request_event(message, revision, declared, meta))

    def _on_initialize(self, message: jsonrpc.Request, events: list[Event]) -> None:
        if self._state is not SessionState.NEW:
            error = ErrorObject(INVALID_REQUEST, "the session is initialized already")
            events.append(self._reply(message.id, error))
            return
        wanted = REVISIONS.get(str(message.params.get("protocolVersion")))
        revision = wanted if wanted is not None and wanted.era is Era.HANDSHAKE else LATEST_HANDSHAKE
        self.resume(message.params, revision)
        result: dict[str, Any] = {
            "protocolVersion": revision.name,
            "capabilities": self._capabilities,
            "serverInfo": self._server_info,
        }
        if self._instructions is not None:
            result["instructions"] = self._instructions
        events.append(MessageReady(Outgoing(jsonrpc.encode_response(message.id, result))))

    def _admit_method(self, message: jsonrpc.Request, revision: Revision, events: list[Event]) -> bool:
        if not self._admit(message.id, revision):
            events.append(self._reply(message.id, NO_ROOM))
            return False
        self._methods[message.id] = message.method
        return True

    def _on_notification(self, message: jsonrpc.Notification, events: list[Event]) -> None:
        super()._on_notification(message, events)
        for event in events:
            if isinstance(event, NotificationReceived) and event.method == "notifications/initialized":
                events.remove(event)
                break

    def _on_invalid(self, message: jsonrpc.Invalid, only: RequestId | None, events: list[Event]) -> None:
        if message.id is None or message.id not in self._pending:
            events.append(self._reply(message.id, ErrorObject(message.code, message.problem)))
        super()._on_invalid(message, only, events)

    def _description(self) -> dict[str, Any]:
        described: dict[str, Any] = {
            "supportedVersions": list(REVISIONS),
            "capabilities": self._capabilities,
        }
        if self._instructions is not None:
            described["instructions"] = self._instructions
        return described


def _stateless_versions() -> list[str]:
    return [name for name, revision in REVISIONS.items() if revision.era is LATEST.era]


def _request_event(
    message: jsonrpc.Request, revision: Revision, capabilities: dict[str, Any], meta: dict[str, Any]
) -> RequestReceived:
    token: Any = meta.get("progressToken")
    wanted = token if type(token) in (int, str) else None
    return RequestReceived(message.id, message.method, message.params, revision, capabilities, wanted)
