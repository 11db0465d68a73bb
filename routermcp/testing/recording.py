"""Record the messages between clients and a server once, and play them in tests ever after.

::

    with Recording("weather.jsonl") as recording:
        with SyncRouterMCPClient("https://weather.example/mcp", recording=recording) as client:
            client.call_tool("forecast", {"city": "Paris"})

The first run talks to the server and writes the file; the next ones play it, without the server.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from routermcp_proto.client_session import ClientSession
from routermcp_proto.http.binding import HTTPBinding

from .recorded_session import RecordedBinding, RecordedSession
from .recording_file import header_line, message_line, redacted_message, without_client_info
from .replay import Replay
from .replay_transport import ReplayTransport

#: When a server is asked: ``none``, never; ``new``, where there is no recording; ``all``, always.
RecordMode = Literal["none", "new", "all"]

#: Messages that are kept until a session has agreed on a revision, which the first line names: many
#: times those of any handshake.
MAX_EARLY_MESSAGES = 100

#: Secrets that are remembered, as a server may repeat one in a later answer: those of the last requests.
MAX_SECRETS = 100


class Recording:
    """Messages of one client and its sessions in a file; give it as ``recording=``.

    As a context manager it checks at the end that every recorded call was made.

    Args:
        path: The file, JSON Lines.
        mode: ``"new"`` records where the file does not exist, and plays it otherwise; ``"none"`` only
            plays; ``"all"`` records anew.
        strict: Whether calls have to come in the recorded order, session by session. Otherwise a call
            is matched by its method and arguments, in any order: for calls that run at once.
        public: Names whose values are kept, though they look like those of secrets.

    Raises:
        RecordingError: There is no recording to be played, or it cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: RecordMode = "new",
        *,
        strict: bool = True,
        public: Collection[str] = (),
    ) -> None:
        self.path = Path(path)
        plays = mode == "none" or (mode == "new" and self.path.exists())
        self._replay = Replay(self.path, strict=strict, public=public) if plays else None
        self._public = frozenset(public)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._early: list[str] = []
        self._begun = False
        self._secrets: dict[str, None] = {}

    @property
    def plays(self) -> bool:
        """Whether the file is played, rather than written."""
        return self._replay is not None

    def check_all_used(self) -> None:
        """Check that all recorded calls were made; nothing is checked while they are recorded.

        Raises:
            ReplayMismatchError: Some were not, or the client has caught the error of another mismatch.
        """
        if self._replay is not None:
            self._replay.check_all_used()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:  # another error tells more than calls that were not made for it
            self.check_all_used()

    # ---- for the clients -------------------------------------------------------------------------

    @property
    def player(self) -> ReplayTransport | None:
        """The transport of a client while the file is played."""
        return ReplayTransport(self._replay) if self._replay is not None else None

    def session(self, **settings: Any) -> ClientSession:
        """Return the machine of a session that is recorded."""
        return RecordedSession(_SessionLog(self), **settings)

    binding_class: type[HTTPBinding] = RecordedBinding

    def next_number(self) -> int:
        """Return the number of the next session."""
        return next(self._numbers)

    def write(
        self, number: int, kind: str, message: Mapping[str, Any], secrets: Sequence[str], protocol: str | None
    ) -> None:
        """Write a message to the file, once a session has agreed on a revision."""
        with self._lock:
            for secret in secrets:
                self._secrets.pop(secret, None)
                self._secrets[secret] = None
            while len(self._secrets) > MAX_SECRETS:
                del self._secrets[next(iter(self._secrets))]
            said = without_client_info(message) if kind == "sent" else dict(message)
            kept = redacted_message(said, tuple(self._secrets), self._public)
            self._early.append(message_line(number, kind, kept))
            if protocol is None and not self._begun:
                del self._early[:-MAX_EARLY_MESSAGES]
                return
            self._flush(protocol)

    def _flush(self, protocol: str | None) -> None:
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._early.insert(0, header_line(protocol or ""))
        mode = "a" if self._begun else "w"
        with self.path.open(mode, encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.writelines(self._early)
        self._begun = True
        self._early.clear()


class _SessionLog:
    """Writes the messages of one session into its recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._number: int | None = None

    def open(self) -> None:
        """Give the session its number."""
        if self._number is None:
            self._number = self._recording.next_number()

    def write(
        self, kind: str, message: Mapping[str, Any], secrets: Sequence[str], protocol: str | None
    ) -> None:
        """Write a message."""
        self.open()
        self._recording.write(self._number or 0, kind, message, secrets, protocol)
