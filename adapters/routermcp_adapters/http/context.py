"""The context of one HTTP exchange: what a transport has to know of the work it is part of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from routermcp_proto.events import Event
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.http.url import EndpointURL

from ..call.deadline import CallDeadline
from ..call.incoming import OnEvent
from ..runtime import ByteStream, Runtime
from .connect import Admit

#: Seconds for a message that has no answer, the renewal of a token before it included. Some servers
#: never respond to one, as nothing was asked: by then they have it.
ACCEPTANCE_SECONDS = 5.0


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


async def accepted(
    runtime: Runtime, sending: Awaitable[Outcome | None], sent: Callable[[], bool]
) -> Outcome | None:
    """Send a message that has no answer, and return the outcome; None where the server is silent.

    Args:
        runtime: Where the caller runs.
        sending: Sends the message.
        sent: Whether the message has been sent.

    Raises:
        TransportError: It cannot be sent.
    """
    scope = runtime.deadline(runtime.now() + ACCEPTANCE_SECONDS)
    try:
        async with scope:
            return await sending
    except TimeoutError as error:
        if not scope.expired:
            raise
        if not sent():
            raise TransportError("there was no connection in time", code="timeout", not_run=True) from error
        return None
