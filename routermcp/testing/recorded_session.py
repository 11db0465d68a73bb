"""The machine of a session whose messages are recorded.

Over HTTP as over a stream all messages pass this machine, so that it is the one place to record them.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from pydantic_core import from_json

from routermcp_proto.calls import Call
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Connected, Event, HTTPRefused, MessageReady, Outgoing
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.http.exchange import MCPExchange
from routermcp_proto.jsonrpc import ErrorObject, RequestId
from routermcp_proto.session.base import Session
from routermcp_proto.session.handshake import STATELESS_ERRORS, Agreement, Refused


class SessionLog(Protocol):
    """Keeps the messages of one session."""

    def open(self) -> None:
        """Give the session its number, which counts the sessions in the order of their first messages."""
        ...

    def write(
        self, kind: str, message: Mapping[str, Any], secrets: Sequence[str], protocol: str | None
    ) -> None:
        """Keep a message.

        Args:
            kind: What became of it: ``sent``, ``received`` or ``refused``.
            message: The message.
            secrets: Secrets that the server was sent.
            protocol: The revision that was agreed on, None before.
        """
        ...


class RecordedSession(ClientSession):
    """A client's machine whose messages are kept.

    Args:
        session_log: Keeps them.
        settings: Those of the machine.
    """

    def __init__(self, session_log: SessionLog, **settings: Any) -> None:
        super().__init__(**settings)
        self._log = session_log
        self._noted: bytes | None = None
        self._exchanges: weakref.WeakSet[MCPExchange] = weakref.WeakSet()
        self._lock = threading.Lock()

    def secrets(self) -> Sequence[str]:
        """Return the secrets that the server was sent with the requests that are under way."""
        with self._lock:
            exchanges = tuple(self._exchanges)
        return [secret for exchange in exchanges for secret in exchange.secrets()]

    def watch(self, exchange: MCPExchange) -> None:
        """Have the secrets of an HTTP exchange hidden."""
        with self._lock:
            self._exchanges.add(exchange)

    def _note(self, kind: str, message: Mapping[str, Any]) -> None:
        agreement = self.agreement
        protocol = agreement.revision.name if agreement is not None else None
        self._log.write(kind, message, self.secrets(), protocol)

    def refused(self, request_id: RequestId, refusal: HTTPRefused) -> None:
        """Note that a request was answered with an HTTP error, whose body may hold an answer."""
        error = refusal.error
        if error is not None and (refusal.addressed or error.code in STATELESS_ERRORS):
            answer = {"code": error.code, "message": error.message}
            if error.data is not None:
                answer["data"] = error.data
            self._note("received", {"jsonrpc": "2.0", "id": request_id, "error": answer})
            return
        kept = {"status": refusal.status, "body": refusal.body, "retryAfter": refusal.retry_after}
        self._note("refused", {"id": request_id, **kept})

    def _sent(self, payload: bytes) -> bytes:
        self._noted = payload
        self._note("sent", from_json(payload))
        return payload

    def _sent_by_itself(self, events: list[Event]) -> list[Event]:
        """Note the messages that the machine has written in answer to one."""
        for event in events:
            if isinstance(event, MessageReady) and event.outgoing.payload is not self._noted:
                self._sent(event.outgoing.payload)
        return events

    def start_handshake(self, known: str | None = None) -> Outgoing:
        """Encode the first request of the handshake."""
        outgoing = super().start_handshake(known)
        self._sent(outgoing.payload)
        return outgoing

    def refuse_handshake(self, refusal: Refused) -> list[Event]:
        """Continue after a refused step of the handshake."""
        return self._sent_by_itself(super().refuse_handshake(refusal))

    def adopt(self, agreement: Agreement) -> Connected:
        """Take over the agreement of another session, without a message."""
        self._log.open()
        return super().adopt(agreement)

    def start_request(
        self,
        call: Call[Any],
        *,
        meta: Mapping[str, Any] | None = None,
        progress: bool = False,
        deadline: float | None = None,
        capabilities: Mapping[str, Any] | None = None,
    ) -> Outgoing:
        """Encode a request."""
        outgoing = super().start_request(
            call, meta=meta, progress=progress, deadline=deadline, capabilities=capabilities
        )
        self._sent(outgoing.payload)
        return outgoing

    def start_notification(self, method: str, params: Mapping[str, Any] | None = None) -> Outgoing:
        """Encode a notification."""
        outgoing = super().start_notification(method, params)
        self._sent(outgoing.payload)
        return outgoing

    def answer(self, request_id: RequestId, result: Mapping[str, Any]) -> bytes:
        """Encode the answer to a question of the server."""
        return self._sent(super().answer(request_id, result))

    def refuse(self, request_id: RequestId, error: ErrorObject) -> bytes:
        """Encode an error as the answer to a question of the server."""
        return self._sent(super().refuse(request_id, error))

    @staticmethod
    def _messages_in(payload: bytes | bytearray) -> list[dict[str, Any]]:
        """Return the messages of a payload: more than one in a batch, none where it is no JSON."""
        try:
            value = from_json(bytes(payload))
        except ValueError:
            return []
        messages = cast("list[Any]", value if isinstance(value, list) else [value])
        return [message for message in messages if isinstance(message, dict)]

    def receive_message(self, payload: bytes | bytearray, *, only: RequestId | None = None) -> list[Event]:
        """Feed one message and return its events."""
        for message in self._messages_in(payload):
            self._note("received", message)
        return self._sent_by_itself(super().receive_message(payload, only=only))


class RecordedExchange(MCPExchange):
    """Reads the answer to a message of a session that is recorded."""

    def __init__(self, session: Session, request_id: RequestId | None, **options: Any) -> None:
        super().__init__(session, request_id, **options)
        self._recorded = session if isinstance(session, RecordedSession) else None
        self._answers = request_id
        if self._recorded is not None:
            self._recorded.watch(self)

    def receive_end(self) -> list[Event]:
        """Feed the end of the body, and note a refusal, which is no message."""
        events = super().receive_end()
        for event in events:
            if isinstance(event, HTTPRefused) and self._recorded is not None and self._answers is not None:
                self._recorded.refused(self._answers, event)
        return events


class RecordedBinding(HTTPBinding):
    """The Streamable HTTP side of a session that is recorded."""

    exchange_class = RecordedExchange
