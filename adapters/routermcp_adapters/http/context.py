"""The context of one HTTP exchange: what a transport has to know of the work it is part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from routermcp_proto.events import Event
from routermcp_proto.http.url import EndpointURL

from ..call.deadline import CallDeadline
from ..call.incoming import OnEvent
from .connect import Admit
from .server_stream import Reader


@dataclass(frozen=True, slots=True)
class Destination:
    """Another server than the MCP server, such as an authorization server."""

    endpoint: EndpointURL
    admit: Admit | None
    """Asked for each of its addresses."""


class ExchangeContext(NamedTuple):
    """What an exchange serves, besides the request itself."""

    on_event: OnEvent
    """Handles each event that is not the outcome."""

    deadline: CallDeadline | None = None
    """That of the caller, which stands still while a user is asked; None where no user may be asked."""

    reader: Reader | None = None
    """Reads the session's server stream too, in its turn."""

    control: bool = False
    """The exchange takes no place in the pool: calls that hold all places may be waiting for it."""

    destination: Destination | None = None
    """The server that the request is for, None for the MCP server."""


async def ignore(event: Event) -> None:
    """Drop an event."""
    del event


#: The context of messages that no call waits for: answers to the server, and DELETE.
CONTROL = ExchangeContext(ignore, control=True)
