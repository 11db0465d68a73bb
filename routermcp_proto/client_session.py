"""The client's side of an MCP session.

On a stream of lines::

    session = ClientSession()
    session.connect()
    stream.send_all(session.data_to_send())
    session.receive_data(stream.receive_some())
    for event in session.events_received():     # Connected, then answers to calls
        ...

Over HTTP the same machine is used a message at a time, see
:mod:`routermcp_proto.http.binding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, cast

from . import calls, jsonrpc, types
from .calls import Call
from .events import (
    Connected,
    ConnectionFailed,
    ErrorReceived,
    Event,
    LongListReceived,
    MessageDropped,
    MessageReady,
    Outgoing,
    RequestReceived,
    ResponseReceived,
    ResponseRejected,
)
from .exceptions import (
    LocalProtocolError,
    MCPError,
    rpc_error_type,
)
from .jsonrpc import ErrorObject, RequestId
from .names import (
    ACKNOWLEDGED,
    SUBSCRIPTION_ID_KEY,
)
from .session.base import NO_ROOM
from .session.handshake import Agreement, Handshake, HandshakeReply, HandshakeStep, Refused, negotiate
from .session.lines import LineSession
from .session.list_pages import read_at_once, read_page
from .session.request_meta import encode_meta, encode_stamp, join_members
from .session.tool_facts import ToolFacts, remember_tools
from .states import SessionInput, SessionState
from .types.parameter_headers import may_mention_annotation
from .types.reading import MAX_AT_ONCE, ListBudget, ListLimits, ListReader
from .types.server_requests import refusal_of
from .versions import LATEST, Era, Revision

#: Characters of a method of the server that a warning repeats.
MAX_METHOD = 80


_INFO: Mapping[str, Any] = {"name": "routermcp", "version": "0.1.0"}


class ClientSession(LineSession):
    """The machine of a client.

    Args:
        client_info: Name and version of the application, as they go on the wire.
        capabilities: The application's ``ClientCapabilities``, as they go on the wire.
        protocol: ``"auto"``, or the name of a revision to insist on.
        max_message_size: Bytes of the longest message.
        strict_json: Whether ``NaN`` and ``Infinity`` cost their message.
        hears_lists: Whether the application wants to hear of changed lists, see :meth:`start_listening`.
        list_limits: What a list may hold.
        in_slices: Whether the page of a long list is given as :class:`LongListReceived`, to be read
            in slices.
    """

    # An application may have a session for each of ten thousand users.
    __slots__ = (
        "_agreement",
        "_capabilities",
        "_client_info",
        "_handshake",
        "_handshake_id",
        "_hears_lists",
        "_in_slices",
        "_last_stamp",
        "_list_limits",
        "_protocol",
        "_stamp",
        "_tools",
        "probing",
    )

    def __init__(
        self,
        *,
        client_info: Mapping[str, Any] | None = None,
        capabilities: Mapping[str, Any] | None = None,
        protocol: str = "auto",
        max_message_size: int | None = None,
        strict_json: bool = False,
        hears_lists: bool = False,
        list_limits: ListLimits = ListLimits(),  # noqa: B008 - it is frozen
        in_slices: bool = False,
    ) -> None:
        super().__init__(max_message_size=max_message_size, strict_json=strict_json)
        self._hears_lists = hears_lists
        self._list_limits = list_limits
        self._in_slices = in_slices
        self._client_info = client_info or _INFO
        self._capabilities = dict(capabilities or {})
        self._protocol = protocol
        self._handshake: Handshake | None = None
        # Ids count from 1, so 0 means that the handshake has no request pending.
        self._handshake_id: RequestId = 0
        self._agreement: Agreement | None = None
        self.probing = False
        """Whether the handshake probes: the era is not known yet, and a failure of any kind is an answer."""
        self._stamp = b""
        # A gateway's clients mostly declare the same, one after the other.
        self._last_stamp: tuple[Mapping[str, Any] | None, bytes] = (None, b"")
        self._tools: dict[str, ToolFacts] = {}

    @property
    def server(self) -> types.InitializeResult | None:
        """The server's description of itself, or None before the handshake."""
        return self._agreement.server if self._agreement is not None else None

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """The capabilities that the client declares."""
        return self._capabilities

    @property
    def agreement(self) -> Agreement | None:
        """The result of the handshake, which another session may :meth:`adopt`."""
        return self._agreement

    def tool_facts(self, name: str) -> ToolFacts | None:
        """Return the remembered facts about a tool, None if it was not listed or has no headers or hints."""
        return self._tools.get(name)

    # ---- handshake -------------------------------------------------------------------

    def start_handshake(self, known: str | None = None) -> Outgoing:
        """Encode the first request of the handshake.

        State:
            NEW -> PROBING or INITIALIZING.

        Args:
            known: A revision that this server is known to speak, so that no probe is needed
                unless the session insists on another one.

        Raises:
            LocalProtocolError: The session is not NEW, or insists on an unknown revision.
        """
        protocol = known if known is not None and self._protocol == "auto" else self._protocol
        self._handshake = negotiate(protocol, self._client_info, self._capabilities)
        return self._take_step(next(self._handshake))

    def connect(self) -> None:
        """Queue the first request of the handshake; then send :meth:`data_to_send`.

        Raises:
            LocalProtocolError: As :meth:`start_handshake`.
        """
        self._queue(self.start_handshake().payload)

    def _take_step(self, step: HandshakeStep) -> Outgoing:
        initialize = step.call.method == "initialize"
        self._move(SessionInput.INITIALIZE if initialize else SessionInput.PROBE)
        self.probing = step.probe
        self._write_in(step.revision)
        outgoing = self._encode(step.call)
        self._handshake_id = outgoing.request_id or 0
        return outgoing

    def _write_in(self, revision: Revision) -> None:
        self._revision = revision
        self._last_stamp = (None, b"")
        self._stamp = self._stamp_for(self._capabilities) if revision.stamps_requests else b""

    def _stamp_for(self, capabilities: Mapping[str, Any]) -> bytes:
        known, stamp = self._last_stamp
        if known == capabilities:
            return stamp
        stamp = encode_stamp(self._revision or LATEST, self._client_info, capabilities)
        self._last_stamp = (capabilities, stamp)
        return stamp

    def refuse_handshake(self, refusal: Refused) -> list[Event]:
        """Continue after the transport reported a refused step, for example HTTP 400.

        State:
            The pending step moves to CANCELLED, the session as the next step says.
        """
        if self._handshake_id in self._pending:
            self._unreported = self._handshake_id  # a server that was slow to start answers it later
        self.abandon(self._handshake_id)
        return self._advance(refusal)

    def fail_handshake(self) -> None:
        """Abandon a handshake, so that it may be started again.

        State:
            PROBING or INITIALIZING -> NEW; other states stay.
        """
        if self._state in (SessionState.PROBING, SessionState.INITIALIZING):
            self._move(SessionInput.FAIL)
            self.abandon(self._handshake_id)
            self._handshake_id = 0

    def expire(self) -> None:
        """Forget the agreement of a session that has expired at the server.

        State:
            READY -> NEW. Pending requests stay pending.
        """
        self._move(SessionInput.EXPIRE)
        self._agreement = None

    def restart(self) -> None:
        """Forget everything that is under way: it belongs to a copy of this session in a parent process.

        State:
            Pending requests are forgotten. A session of the handshake era is NEW, one of
            the stateless era stays READY: its server knows of no session.
        """
        self.fail_handshake()
        self._pending.clear()
        self._asked.clear()
        agreement = self._agreement
        if self._state is SessionState.READY and not (
            agreement is not None and agreement.revision.era is Era.STATELESS
        ):
            self.expire()

    def adopts(self, agreement: Agreement) -> bool:
        """Return whether the session can :meth:`adopt` that agreement."""
        return agreement.revision.era is Era.STATELESS and self._protocol in ("auto", agreement.revision.name)

    def adopt(self, agreement: Agreement) -> Connected:
        """Take over the agreement of another session with the same server, without a request.

        State:
            NEW -> READY.

        Raises:
            LocalProtocolError: The agreement is of the handshake era, where each session
                needs a handshake of its own.
        """
        if agreement.revision.era is not Era.STATELESS:
            raise LocalProtocolError("a session of the handshake era needs a handshake of its own")
        self._move(SessionInput.PROBE)
        return self._agree(agreement)

    def recognize(self, known: Agreement) -> None:
        """Share what another session has agreed on, where the two are equal.

        The server's description is several times as large as everything else that a session keeps.
        """
        if self._agreement == known:
            self._agreement = replace(known)  # a renewal is known by an object of its own

    def _agree(self, agreement: Agreement) -> Connected:
        self._move(SessionInput.AGREE)
        self._write_in(agreement.revision)
        self._agreement = agreement
        self._handshake = None
        self.probing = False
        return Connected(agreement.server, agreement.revision)

    def _advance(self, reply: HandshakeReply) -> list[Event]:
        handshake = self._handshake
        if handshake is None:
            return []
        self._handshake_id = 0
        try:
            return [MessageReady(self._take_step(handshake.send(reply)))]
        except StopIteration as done:
            agreement: Agreement = done.value
        except MCPError as error:
            self._handshake = None
            self._move(SessionInput.FAIL)
            return [ConnectionFailed(error)]
        connected = self._agree(agreement)
        if agreement.revision.era is Era.STATELESS:
            return [connected]
        return [MessageReady(self.start_notification("notifications/initialized")), connected]

    # ---- sending -------------------------------------------------------------------

    def start_request(
        self,
        call: Call[Any],
        *,
        meta: Mapping[str, Any] | None = None,
        progress: bool = False,
        deadline: float | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> Outgoing:
        """Encode a call and register it as pending.

        State:
            The request is PENDING.

        Args:
            call: The request, from :mod:`routermcp_proto.calls`.
            meta: More members for ``_meta``.
            progress: Whether to ask the server for progress reports.
            deadline: The time at which :meth:`handle_timer` cancels the request, on the caller's clock.
            capabilities: Capabilities to declare instead of the session's own, for a gateway that
                acts for many clients. Used only by revisions whose requests carry them.

        Raises:
            LocalProtocolError: The session is not READY, JSON cannot hold the parameters,
                or ``meta`` has a member that the protocol reserves.
        """
        if self._state is not SessionState.READY:
            raise LocalProtocolError(
                f"{call.method} needs a connected session, not one that is {self._state.value}"
            )
        return self._encode(call, meta=meta, progress=progress, deadline=deadline, capabilities=capabilities)

    def send_request(
        self,
        call: Call[Any],
        *,
        meta: Mapping[str, Any] | None = None,
        progress: bool = False,
        deadline: float | None = None,
    ) -> RequestId:
        """Queue a call; then send :meth:`data_to_send`. Arguments as :meth:`start_request`.

        Returns:
            The id by which events name the request.

        Raises:
            LocalProtocolError: As :meth:`start_request`.
        """
        outgoing = self.start_request(call, meta=meta, progress=progress, deadline=deadline)
        self._queue(outgoing.payload)
        return outgoing.request_id or 0

    @property
    def listens(self) -> bool:
        """Whether there is a subscription to make with :meth:`start_listening`."""
        return bool(self._list_filter())

    def _list_filter(self) -> Mapping[str, bool]:
        agreement = self._agreement
        if not self._hears_lists or agreement is None or not agreement.revision.subscriptions:
            return {}
        return calls.list_filter(agreement.server.capabilities)

    def start_listening(self) -> Outgoing | None:
        """Encode the subscription to the lists whose changes the server announces.

        Its acknowledgement, and its end by the server, are no events: the application made no request.

        State:
            The request is PENDING, until the server ends the subscription.

        Returns:
            The ``subscriptions/listen`` request; None where the application does not want to hear of
            changes, or the server announces them unasked or not at all.
        """
        wanted = self._list_filter()
        if not wanted:
            return None
        outgoing = self.start_request(calls.listen(wanted))
        self._unreported = outgoing.request_id
        return outgoing

    def _encode(
        self,
        call: Call[Any],
        *,
        meta: Mapping[str, Any] | None = None,
        progress: bool = False,
        deadline: float | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> Outgoing:
        request_id = self._register(call, deadline)
        try:
            stamp = self._stamp
            if stamp and capabilities is not None and capabilities != self._capabilities:
                stamp = self._stamp_for(capabilities)
            if meta:
                stamp = join_members(encode_meta(meta), stamp)
            if progress:
                stamp = join_members(b'{"progressToken":%d}' % request_id, stamp)
            payload = jsonrpc.encode_request(request_id, call.method, call.params, stamp)
        except BaseException:
            del self._pending[request_id]
            raise
        return Outgoing(payload, call.method, request_id, call)

    # ---- receiving -------------------------------------------------------------------

    def receive_message(self, payload: bytes | bytearray, *, only: RequestId | None = None) -> list[Event]:
        """Feed one message and return its events; see :meth:`.Session.receive_message`.

        State:
            The answer to the handshake's request moves the session on.
        """
        events = super().receive_message(payload, only=only)
        if self._handshake is None:
            return events
        advanced: list[Event] = []
        for event in events:
            reply = self._handshake_reply(event)
            advanced.extend([event] if reply is None else self._advance(reply))
        return advanced

    def _on_notification(self, message: jsonrpc.Notification, events: list[Event]) -> None:
        named: Any = None
        if message.method == ACKNOWLEDGED:
            meta = message.params.get("_meta")
            named = cast("dict[str, Any]", meta).get(SUBSCRIPTION_ID_KEY) if isinstance(meta, dict) else None
        elif message.method == "notifications/cancelled":
            named = message.params.get("requestId")
        subscription = jsonrpc.request_id_in(named)
        if subscription is None or self._own(subscription) != self._unreported:
            super()._on_notification(message, events)

    def _handshake_reply(self, event: Event) -> HandshakeReply | None:
        """Return the reply to the handshake that an event holds, or None."""
        if not isinstance(event, ResponseReceived | ErrorReceived | ResponseRejected):
            return None
        if event.request_id != self._handshake_id:
            return None
        if isinstance(event, ResponseReceived):
            return event.value
        if isinstance(event, ResponseRejected):
            return Refused(None, event.error)
        error = event.error
        kind = rpc_error_type(error.code, method=event.call.method)
        return Refused(error, kind(error.message, code=error.code, data=error.data, about=event.call.method))

    def _on_request(self, message: jsonrpc.Request, events: list[Event]) -> None:
        revision = self._revision or LATEST
        if not revision.peer_requests and not (self.probing and message.method == "ping"):
            # An answer would be a message that the client must not send (MCP 2026-07-28, Transports).
            method = message.method[:MAX_METHOD]
            events.append(MessageDropped(f"{method!r}: a server of MCP {revision.name} sends no requests"))
        elif message.method == "ping":
            events.append(MessageReady(Outgoing(jsonrpc.encode_response(message.id, {}))))
        elif (refused := refusal_of(message.method, message.params, self._capabilities)) is not None:
            events.append(self._reply(message.id, ErrorObject(*refused)))
        elif not self._admit(message.id, revision):
            events.append(self._reply(message.id, NO_ROOM))
        else:
            events.append(RequestReceived(message.id, message.method, message.params, revision))

    def list_budget(self) -> ListBudget:
        """Return the budget of a list that is about to be read."""
        return ListBudget(self._list_limits)

    def _read_list(self, request_id: RequestId, call: Call[Any], message: jsonrpc.Response) -> Event:
        reader: ListReader[Any] = ListReader(
            call.method, call.result_type, call.items or "", message.result, consumes=True
        )
        (call.budget or self.list_budget()).take(call.method, len(reader), message, reader.models)
        revision = self._revision
        headers = revision is not None and revision.routing_headers and may_mention_annotation(message.text)
        reading = read_page(request_id, reader, partial(self._learn, headers))
        if self._in_slices and reader.models > MAX_AT_ONCE:
            return LongListReceived(request_id, reading)
        return read_at_once(reading)

    def _learn(self, headers: bool, page: Any) -> list[str]:
        if not isinstance(page, types.ListToolsResult):
            return []
        return remember_tools(page, self._tools, headers=headers)
