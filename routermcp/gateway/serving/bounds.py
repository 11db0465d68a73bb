"""What connections of clients may take of the gateway."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..config.listening import MAX_CLIENT_CONNECTIONS
from ..http.authentication import is_loopback

#: Seconds for the head of a request to arrive: it is one packet, or a few.
HEAD_SECONDS = 10.0

#: Seconds between two pieces of a body: more than a network that still works loses.
BODY_SECONDS = 30.0

#: Seconds in which a client that does not keep up has to read some of what waits for it: what nginx gives it
#: (``send_timeout``).
UNREAD_SECONDS = 60.0

#: Bytes that wait for all clients together which do not keep up: four of the longest messages.
MAX_UNREAD_BYTES = 256 * 1024 * 1024

#: Connections of one other machine: a quarter of all, so that it takes several to hold them.
MAX_PER_ADDRESS = 250

#: Bits of an IPv6 address that tell networks apart: one customer has the rest to choose from.
NETWORK_BITS = 64


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """What connections of clients may take."""

    connections: int = MAX_CLIENT_CONNECTIONS
    """Connections at once."""
    per_address: int | None = None
    """Those of one address, or of one IPv6 network of 64 bits; None for ``MAX_PER_ADDRESS``, and for any
    number from this machine, whose address a reverse proxy gives to all its clients."""
    head_seconds: float = HEAD_SECONDS
    """Seconds for the head of a request to arrive."""
    body_seconds: float = BODY_SECONDS
    """Seconds between two pieces of a body."""
    unread_seconds: float = UNREAD_SECONDS
    """Seconds in which a client that does not keep up has to read some of what waits for it."""
    unread_bytes: int = MAX_UNREAD_BYTES
    """Bytes that wait for all clients together which do not keep up."""

    def share_of(self, source: str | None) -> int:
        """Return the number of connections that one source of them may have."""
        if self.per_address is not None:
            return self.per_address
        return self.connections if source is None or is_loopback(source) else MAX_PER_ADDRESS


DEFAULT_BOUNDS = ConnectionBounds()


def source_of(address: str) -> str:
    """Return what connections from an address are counted by: it, or its network where that is IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.is_loopback:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed.packed, NETWORK_BITS), strict=False).network_address)
