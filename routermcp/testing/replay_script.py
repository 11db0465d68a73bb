"""The calls of a recording, each with the messages that follow it.

Messages of the server that name no request (notifications, questions) belong to the call that waited
when they came, or else to the last one before; so a call is played with its progress reports, questions
and notifications at their place, also where several calls were made at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .recording_file import RecordedMessage, params_of

#: Requests that a client makes by itself; they are answered as recorded, as often as they come.
HOUSEKEEPING = frozenset({"initialize", "server/discover", "ping", "subscriptions/listen"})

#: Notifications about a request of the client that is not made again when a recording is played.
_ABOUT_HOUSEKEEPING = frozenset({"notifications/subscriptions/acknowledged"})


@dataclass(slots=True)
class Script:
    """A call, and what came of it."""

    line: int
    session: int
    method: str
    params: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The messages of the server, in order; the call's own answer has its recorded id."""
    answers: dict[Any, dict[str, Any]] = field(default_factory=dict[Any, dict[str, Any]])
    """The answers of the client to the server's questions, by their ids."""
    request_id: Any = None
    refusal: dict[str, Any] | None = None
    """The HTTP error that it was answered with."""
    answered: bool = False
    used: bool = False

    @property
    def name(self) -> str:
        """The method, and the name of the tool, prompt or resource."""
        return request_name(self.method, self.params)


def request_name(method: str, params: Mapping[str, Any]) -> str:
    """Name a request for people, for example ``tools/call 'add'``."""
    name = params.get("name", params.get("uri"))
    return f"{method} {name[:200]!r}" if isinstance(name, str) else method


def arguments_of(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request without those about the client and the request itself."""
    return {key: value for key, value in params_of(message).items() if key != "_meta"}


class ScriptReader:
    """Sorts the messages of one session into scripts."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.housekeeping: dict[str, dict[str, Any]] = {}
        """The answers to the requests that clients make by themselves, by method."""
        self._waiting: dict[Any, Script] = {}
        self._own: dict[Any, str] = {}
        self._early: list[dict[str, Any]] = []

    def take(self, recorded: RecordedMessage) -> None:
        """Take the next message of the session."""
        message = recorded.message
        if recorded.kind == "refused":
            refused = self._waiting.pop(message.get("id"), None)
            if refused is not None:
                refused.refusal = message
        elif recorded.kind == "sent":
            self._sent(recorded)
        else:
            self._received(message)

    def _sent(self, recorded: RecordedMessage) -> None:
        message = recorded.message
        method, request_id = message.get("method"), message.get("id")
        if isinstance(method, str) and request_id is not None:
            if method in HOUSEKEEPING:
                self._own[request_id] = method
                return
            script = Script(
                recorded.line, recorded.session, method, arguments_of(message), request_id=request_id
            )
            script.messages, self._early = self._early, []
            self.scripts.append(script)
            self._waiting[request_id] = script
        elif method is None:
            for script in reversed(self.scripts):
                if any(each.get("id") == request_id and "method" in each for each in script.messages):
                    script.answers[request_id] = message
                    return

    def _received(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self._answer(message)
        elif message["method"] not in _ABOUT_HOUSEKEEPING:
            self._script_of(message).append(message)

    def _answer(self, message: dict[str, Any]) -> None:
        request_id = message.get("id")
        script = self._waiting.pop(request_id, None)
        if script is not None:
            script.messages.append(message)
            script.answered = True
        elif request_id in self._own:
            self.housekeeping[self._own.pop(request_id)] = message

    def _script_of(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        token = params_of(message).get("progressToken")
        if token in self._waiting:  # the token of a call is its id
            return self._waiting[token].messages
        for script in reversed(self._waiting.values()):
            return script.messages
        return self.scripts[-1].messages if self.scripts else self._early


def without_retries(scripts: Iterable[Script]) -> list[Script]:
    """Return the scripts of a session without calls that failed and were repeated."""
    kept: list[Script] = []
    for script in reversed(list(scripts)):
        repeated = any(each.method == script.method and each.params == script.params for each in kept)
        if script.answered or not repeated:
            kept.append(script)
    return kept[::-1]
