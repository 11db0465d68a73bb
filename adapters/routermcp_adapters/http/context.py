"""The context of one HTTP exchange: what a transport has to know of the work it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from routermcp_proto.events import Event
from routermcp_proto.http.url import EndpointURL

from ..call.deadline import CallDeadline
from ..call.incoming import OnEvent
from ..runtime import ByteStream, Runtime
from .connect import Admit


@dataclass(frozen=True, slots=True)
class Destination:
    """Another server than the MCP server, such as an authorization server."""

    endpoint: EndpointURL
    admit: Admit | None
    """Asked for each of its addresses."""


class StreamReader(Protocol):
    """Waits for the data of an exchange in its own way."""

    async def receive(self, runtime: Runtime, own: ByteStream, on_event: OnEvent) -> bytes:
        """Wait for data of the exchange's own stream, and handle what comes by other ways meanwhile."""
        ...


class ExchangeContext(NamedTuple):
    """What an exchange serves, besides the request itself."""

    on_event: OnEvent
    """Handles each event that is not the outcome."""

    deadline: CallDeadline | None = None
    """That of the caller, which stands still while a user is asked; None where no user may be asked."""

    reader: StreamReader | None = None
    """Waits for the response; None where only the response is waited for."""

    control: bool = False
    """The exchange takes no place in the pool: calls that hold all places may be waiting for it."""

    destination: Destination | None = None
    """The server that the request is for, None for the MCP server."""


async def ignore(event: Event) -> None:
    """Drop an event."""
    del event


#: The context of messages that no call waits for: answers to the server, and DELETE.
CONTROL = ExchangeContext(ignore, control=True)
