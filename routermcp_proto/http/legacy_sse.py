"""The event stream of a server that speaks HTTP+SSE, the transport before Streamable HTTP.

The client opens one stream with GET. Its first event names the URL that messages are posted to,
and all messages of the server come on it; the answers to POST say only that a message has arrived.

Source: https://modelcontextprotocol.io/specification/2024-11-05/basic/transports#http-with-sse
"""

from __future__ import annotations

from ..events import EndpointReceived, Event, PayloadReceived
from ..session.base import Session
from .exchange import MCPExchange
from .sse import ServerSentEvent


class LegacySSEExchange(MCPExchange):
    """Reads the answer to the GET, and leaves the messages on it undecoded.

    Args:
        session: The machine that the messages are for.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session, None, listens=True)

    def _take_events(self, received: list[ServerSentEvent]) -> list[Event]:
        events: list[Event] = []
        for sent in received:
            if sent.event == "endpoint":
                events.append(EndpointReceived(sent.data.decode("utf-8", "replace").strip()))
            elif sent.data and sent.event == "message":
                events.append(PayloadReceived(bytes(sent.data)))
        return events
