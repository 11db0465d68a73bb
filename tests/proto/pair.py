"""Two machines back to back: what one sends, the other receives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from routermcp_proto.calls import Call
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Connected, Event, RequestReceived
from routermcp_proto.jsonrpc import RequestId
from routermcp_proto.server_session import ServerSession
from routermcp_proto.session.base import Session

#: Ways to cut what travels: whole, in halves, byte by byte.
CUTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "whole": lambda data: [data],
    "halves": lambda data: [data[: len(data) // 2], data[len(data) // 2 :]],
    "bytes": lambda data: [data[i : i + 1] for i in range(len(data))],
}

SERVER_INFO = {"name": "test-server", "version": "7"}
CAPABILITIES: dict[str, Any] = {"tools": {}, "resources": {}, "prompts": {}}


class Pair:
    """A client's and a server's machine, joined by bytes.

    Args:
        protocol: What the client insists on.
        cut: How the bytes are cut on the way.
        capabilities: What the client can do.
    """

    def __init__(
        self, protocol: str = "auto", *, cut: str = "whole", capabilities: dict[str, Any] | None = None
    ) -> None:
        self.client = ClientSession(protocol=protocol, capabilities=capabilities)
        self.server = ServerSession(
            server_info=SERVER_INFO,
            capabilities=CAPABILITIES,
            instructions="Be kind.",
            ttl=5,
            cache_scope="public",
        )
        self._cut = CUTS[cut]

    def to_server(self) -> list[Event]:
        """Carry what the client has to send, and return what the server makes of it."""
        return self._carry(self.client, self.server)

    def to_client(self) -> list[Event]:
        """Carry what the server has to send, and return what the client makes of it."""
        return self._carry(self.server, self.client)

    def _carry(self, sender: Session, receiver: Session) -> list[Event]:
        for piece in self._cut(sender.data_to_send()):
            receiver.receive_data(piece)
        return receiver.events_received()

    def connect(self) -> Connected:
        """Do the handshake, in as many steps as it takes."""
        self.client.connect()
        for _ in range(5):
            assert self.to_server() == []
            for event in self.to_client():
                assert isinstance(event, Connected)
                assert self.to_server() == [], "the server has nothing to say about initialized"
                return event
        raise AssertionError("the handshake does not end")

    def ask(self, call: Call[Any], **settings: Any) -> tuple[RequestId, RequestReceived]:
        """Send a call, and return its id with what the server received."""
        request_id = self.client.send_request(call, **settings)
        (event,) = self.to_server()
        assert isinstance(event, RequestReceived)
        assert (event.request_id, event.method) == (request_id, call.method)
        return request_id, event
