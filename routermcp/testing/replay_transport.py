"""The transport that plays a recording: the server's end of the connections of a client."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from routermcp_adapters.runtime import Runtime
from routermcp_proto.error_codes import METHOD_NOT_FOUND
from routermcp_proto.events import HTTPRefused
from routermcp_proto.http.outcomes import refusal_error

from .fake_stream import FakeStream
from .recording_file import params_of
from .replay import Replay
from .replay_script import HOUSEKEEPING, Script


class ReplayTransport:
    """Opens streams to a replay; ``transport=`` of one session.

    Args:
        replay: What is played.
    """

    ignores_headers = True
    """Headers of a call are dropped, as they are no part of a recording."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._session: int | None = None

    def __str__(self) -> str:
        return f"the recording {self._replay.path}"

    def for_user(self, user_id: str | None) -> ReplayTransport:
        """Return the transport of another session."""
        del user_id
        return ReplayTransport(self._replay)

    async def open(self, runtime: Runtime) -> FakeStream:
        """Open a stream; one that is opened anew goes on in the recorded session."""
        if self._session is None:
            self._session = self._replay.next_session()
        return FakeStream(ReplayConnection(self._replay, self._session, str(self)), runtime)


class _Question(NamedTuple):
    """A question of the server, at which a call stops."""

    id: str
    script: Script
    answer: dict[str, Any] | None
    """The recorded answer, None where there was none."""


class ReplayConnection:
    """The server's end of a connection to a replay.

    Args:
        replay: What is played.
        session: The number of the recorded session.
        place: The name of the server.
    """

    def __init__(self, replay: Replay, session: int, place: str) -> None:
        self.broken: OSError | None = None
        self._replay = replay
        self._session = session
        self._place = place
        self._due: list[bytes] = []
        self._question_ids = itertools.count(1)
        self._questions: dict[Any, tuple[Iterator[_Question], _Question]] = {}
        """Calls that go on when a question is answered, by its id."""

    def receive(self, payload: bytes, now: float) -> None:
        """Take a message.

        Raises:
            MCPError: It is not the recorded one, or was refused when it was recorded.
        """
        del now
        message: dict[str, Any] = json.loads(payload)
        if "method" not in message:
            self._answered(message)
        elif "id" in message:
            self._asked(message)

    def to_send(self, now: float) -> list[bytes]:
        """Return the messages to be sent."""
        del now
        due, self._due = self._due, []
        return due

    def seconds_left(self, now: float) -> float | None:
        """Return None: what was recorded is played at once."""
        del now

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification."""
        self._send({"jsonrpc": "2.0", "method": method, "params": dict(params)})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._due.append(json.dumps(message).encode())

    def _asked(self, message: dict[str, Any]) -> None:
        method = message["method"]
        if method in HOUSEKEEPING:
            self._keep_house(method, message["id"])
            return
        script = self._replay.take(self._session, message)
        if script.refusal is not None:
            raise refusal_error(_refusal_in(script.refusal), self._place)
        if not script.answered:
            self.broken = ConnectionResetError("the call had no answer when it was recorded")
            return
        self._go_on(self._play(script, message))

    def _keep_house(self, method: str, request_id: Any) -> None:
        recorded = self._replay.housekeeping(self._session, method)
        if recorded is not None:
            self._send({**recorded, "id": request_id})
        elif method == "ping":
            self._send({"jsonrpc": "2.0", "id": request_id, "result": {}})
        elif method != "subscriptions/listen":  # it is answered when it ends
            error = {"code": METHOD_NOT_FOUND, "message": f"{method} was not answered when it was recorded"}
            self._send({"jsonrpc": "2.0", "id": request_id, "error": error})

    def _play(self, script: Script, call: Mapping[str, Any]) -> Iterator[_Question]:
        """Send the messages of a call; yield each question of the server."""
        token = cast("dict[str, Any]", params_of(call).get("_meta") or {}).get("progressToken")
        for message in script.messages:
            if "method" not in message:
                self._send({**message, "id": call["id"]})
            elif "id" in message:
                question = f"replay-{next(self._question_ids)}"
                self._send({**message, "id": question})
                yield _Question(question, script, script.answers.get(message["id"]))
            elif message["method"] == "notifications/progress":
                params = {**params_of(message), "progressToken": token}
                self._send({**message, "params": params})
            else:
                self._send(message)

    def _go_on(self, steps: Iterator[_Question]) -> None:
        """Play a call to its end, or to the next question."""
        question = next(steps, None)
        if question is not None:
            self._questions[question.id] = (steps, question)

    def _answered(self, message: dict[str, Any]) -> None:
        steps, question = self._questions.pop(message.get("id"), (None, None))
        if steps is None or question is None:
            return
        if question.answer is not None:
            self._replay.check_answer(question.script, question.answer, message)
        self._go_on(steps)


def _refusal_in(recorded: Mapping[str, Any]) -> HTTPRefused:
    status, wait = recorded.get("status"), recorded.get("retryAfter")
    return HTTPRefused(
        status if isinstance(status, int) else 500,
        None,
        addressed=False,
        body=str(recorded.get("body") or ""),
        retry_after=wait if isinstance(wait, int | float) else None,
    )
