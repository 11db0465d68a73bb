"""How long the gateway waits for the servers behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UpstreamTimes:
    """How long the gateway waits for one server, and how long it keeps what it knows of it."""

    connect_ms: int = 30_000
    """Milliseconds for a server to be reached and to agree: programs of npm take seconds to start."""

    list_ms: int = 60_000
    """Milliseconds for a server to give one of its lists, all pages of it."""

    call_ms: int = 600_000
    """Milliseconds that a request may take. Clients have shorter deadlines of their own, and a client
    that leaves ends its request; this is for clients that have none."""

    note_ms: int = 10_000
    """Milliseconds for a server to take note of a log level or of a resource to tell of."""

    first_pause_seconds: float = 1.0
    """Seconds before a server that could not be reached is tried again, and before a stream that ended
    is opened again, for the first time. The pause doubles each time."""

    longest_pause_seconds: float = 60.0
    """Seconds that such a pause takes at most; a stream that lasted longer did not fail."""

    list_seconds: float = 60.0
    """Seconds after which the lists are read again when they are wanted, unless the server says
    earlier that they changed."""

    sign_in_pause_seconds: float = 2.0
    """Seconds before a server is tried again that the user has to sign in at first: until then each
    list of that user would ask it in vain."""

    sign_in_ms: int = 20_000
    """Milliseconds that a request waits for a user who has opened the page, before it is refused: less
    than clients wait by default."""

    session_idle_seconds: float = 300.0
    """Seconds after which the session that a client has at a server is ended, if it is not used: what
    the gateway's own sessions have as default."""


DEFAULT_TIMES = UpstreamTimes()
