"""What the driver needs of whatever carries a session's messages to its server.

Streamable HTTP (:mod:`routermcp_adapters.http.session`) gives each request an exchange of its own; a stream
that all messages share (:mod:`routermcp_adapters.streams.session`) has one for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Outgoing
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.session.handshake import Agreement

from ..limits import PoolStats
from ..runtime import Runtime
from .deadline import CallDeadline
from .incoming import ProgressSink


class SessionTransport(Protocol):
    """Carries the messages of one session."""

    @property
    def session(self) -> ClientSession:
        """The machine whose messages these are."""
        ...

    @property
    def place(self) -> str:
        """Where the server is, for people."""
        ...

    @property
    def session_id(self) -> str | None:
        """By which name the server knows the session just now, None for none."""
        ...

    def open(self, runtime: Runtime) -> Runtime:
        """Get ready in a runtime, and return the one to be used from now on."""
        ...

    def close(self) -> None:
        """Give everything back at once, ready to be opened again."""
        ...

    def after_fork(self) -> None:
        """Leave the session to the parent process; only this thread is left."""
        ...

    async def connect(self, deadline: CallDeadline) -> SessionTransport:
        """Agree with the server, once for all callers at the same time.

        Returns:
            The transport that carries the messages from now on; mostly this one.

        Raises:
            MCPError: There is no agreement.
        """
        ...

    async def renew(
        self, deadline: CallDeadline, session_id: str | None, agreement: Agreement | None
    ) -> None:
        """Agree anew, unless another caller has done so in the meantime."""
        ...

    def take_loss(self) -> str | None:
        """Return how a session ended that was renewed since the last question, None where none was.

        Only what a server may have kept in it counts: a session of the stateless era over HTTP has
        no state to lose.
        """
        ...

    async def farewell(self, runtime: Runtime, everything: bool = False) -> None:
        """Tell the server that the session is over, for a bounded time and whatever it says.

        Args:
            runtime: How to wait.
            everything: What is shared with other sessions is closed next.
        """
        ...

    async def prepare(self, headers: Mapping[str, str] | None) -> Any:
        """Collect what one attempt takes along besides the message, for :meth:`deliver`."""
        ...

    async def deliver(
        self, outgoing: Outgoing, extra: Any, on_progress: ProgressSink | None, deadline: CallDeadline
    ) -> Outcome | None:
        """Carry a request there, and return what came of it.

        Raises:
            MCPError: The answer was lost, or a callback of the user failed.
        """
        ...

    async def notify(self, outgoing: Outgoing, extra: Any) -> None:
        """Send a notification, which has no answer.

        Raises:
            TransportError: It cannot be sent.
        """
        ...

    async def attend(self, deadline: CallDeadline) -> None:
        """Hear what the server says that belongs to no call, while no call reads it.

        Returns when the server has no way to say such things.

        Raises:
            MCPError: The way there was lost.
        """
        ...

    def stats(self) -> PoolStats:
        """Return what the connections are doing, and what they have done."""
        ...

    def note_retry(self) -> None:
        """Count that a request is sent again."""
        ...
