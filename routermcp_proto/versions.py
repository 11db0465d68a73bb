"""The protocol revisions and the two eras, as data.

No other module asks "is this a modern server?": code asks the :class:`Revision` in use
which members it adds to a message, how it cancels, and whether it has sessions. A new
revision is a new row of :data:`REVISIONS`.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning
"""

from __future__ import annotations

from enum import Enum

from .value_class import value_class


class Era(Enum):
    """The way in which client and server exchange their capabilities."""

    HANDSHAKE = "handshake"
    """``initialize`` opens a session (2024-11-05 to 2025-11-25)."""

    STATELESS = "stateless"
    """Every request carries version, identity and capabilities (2026-07-28 on)."""


class CancelBy(Enum):
    """The way to tell the server of a Streamable HTTP exchange that its request is cancelled."""

    NOTIFICATION = "notifications/cancelled"
    CLOSING_THE_STREAM = "closing the response stream"


@value_class
class Revision:
    """The rules of one revision of the specification for the messages on the wire."""

    name: str
    """The protocol version string, for example ``2025-11-25``."""

    era: Era

    stamps_requests: bool
    """Requests carry ``_meta`` with protocol version, client info and capabilities."""

    routing_headers: bool
    """HTTP requests carry ``Mcp-Method``, ``Mcp-Name`` and ``Mcp-Param-*``."""

    version_header: bool
    """HTTP requests after the handshake carry ``MCP-Protocol-Version`` (2025-06-18 on)."""

    http_sessions: bool
    """The server may assign ``Mcp-Session-Id``."""

    resumable_streams: bool
    """A cut event stream is resumed with GET and ``Last-Event-ID``."""

    batches: bool
    """A message may be a JSON array of messages (2025-03-26 only)."""

    http_cancel: CancelBy

    sign_of_life: str
    """The method with which a client checks that the server responds."""

    peer_requests: bool
    """The server sends requests of its own; later revisions ask for input in results."""

    subscriptions: bool
    """Changes are announced on the stream of ``subscriptions/listen``; before, unasked."""


def _handshake_revision(name: str, *, http: bool, version_header: bool, batches: bool) -> Revision:
    return Revision(
        name=name,
        era=Era.HANDSHAKE,
        stamps_requests=False,
        routing_headers=False,
        version_header=version_header,
        http_sessions=http,
        resumable_streams=http,
        batches=batches,
        http_cancel=CancelBy.NOTIFICATION,
        sign_of_life="ping",
        peer_requests=True,
        subscriptions=False,
    )


#: Newest first.
REVISIONS: dict[str, Revision] = {
    revision.name: revision
    for revision in (
        Revision(
            name="2026-07-28",
            era=Era.STATELESS,
            stamps_requests=True,
            routing_headers=True,
            version_header=True,
            http_sessions=False,
            resumable_streams=False,
            batches=False,
            http_cancel=CancelBy.CLOSING_THE_STREAM,
            sign_of_life="server/discover",
            peer_requests=False,
            subscriptions=True,
        ),
        _handshake_revision("2025-11-25", http=True, version_header=True, batches=False),
        _handshake_revision("2025-06-18", http=True, version_header=True, batches=False),
        _handshake_revision("2025-03-26", http=True, version_header=False, batches=True),
        _handshake_revision("2024-11-05", http=False, version_header=False, batches=False),
    )
}

LATEST = REVISIONS["2026-07-28"]
LATEST_HANDSHAKE = REVISIONS["2025-11-25"]


def best_common(supported: list[str], era: Era | None = None) -> Revision | None:
    """Return the newest revision that both sides know, or None.

    Args:
        supported: Versions that the peer lists, in any order.
        era: Only revisions of this era, when given.
    """
    for revision in REVISIONS.values():
        if revision.name in supported and (era is None or revision.era is era):
            return revision
    return None
