"""Input that a client gives before its request is answered: asked by the server, or by the gateway.

Theory of operation
-------------------
A plain request never comes here: :class:`~.upstream.Upstream` forwards it and returns the result. A
request comes here where

* it brings answers: its state is one that this module made (:class:`InputRound`);
* it failed, because the user has to sign in or to open a URL first: the gateway asks (:class:`InputRound`);
* its server may ask in the middle of the work, which its client cannot hear (:class:`SuspendedRequests`).

How a question reaches the client depends on the eras of both sides:

=========  =========  ================================================================================
server     client     way of a question
=========  =========  ================================================================================
stateless  stateless  the result goes on to the client; the server's state travels with it
stateless  handshake  :mod:`..dispatch.dispatcher` asks the client, and makes the request again
handshake  handshake  :mod:`.callbacks` asks the client while the server waits
handshake  stateless  the request is *suspended*: see below
=========  =========  ================================================================================

**A suspended request.** The work at the server runs in a task of its own. The request that began it
waits for the result or for a question. With a question it ends: the question is its result, and
its state a random token under which the work is kept. The request that comes again with that token
and the answer waits in turn, up to the next question. The table ``TRANSITIONS`` has all states; a
question that comes while the client is away waits until the client is back. ForwardedWork whose client does
not come back is cancelled, and work that is kept is bounded in number.

**The gateway's own questions.** The server's state and the client's answers to the server would be
lost where the gateway asks something itself in between. So they are written into the state of the
gateway's question, and are read from it when the request comes again. What a client could change in
there it could as well have sent by itself, so it is not signed.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation and
https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, cast

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import URL_ELICITATION_REQUIRED
from routermcp_proto.exceptions import InternalError, InvalidParamsError, LocalProtocolError, RPCError
from routermcp_proto.types import Progress

from ..backend import Caller, InputRequired, Result
from .callbacks import ForwardedRequest

#: Requests that are suspended at one server, each of which holds a connection.
MAX_SUSPENDED = 1_000

#: Seconds for a client to come back with an answer: it may be a person who answers.
SUSPENDED_SECONDS = 300.0

#: Bytes of randomness in the token of a suspended request: twice what is needed against guessing.
TOKEN_BYTES = 32

#: The prefix of a state of the gateway. A server's state with this prefix, as of another gateway, is
#: written into one of ours.
STATE_PREFIX = "routermcp-gateway:"

#: The prefix of the keys of the questions that have the client open a server's URLs.
URL_KEY_PREFIX = "routermcp.page-"


# ---- suspended requests ----------------------------------------------------------------------------


class Suspension(Enum):
    """The state of a request that may be suspended."""

    WORKING = "working"
    ASKING = "asking"
    SUSPENDED = "suspended"
    ENDED = "ended"


class SuspensionInput(Enum):
    """An event in the life of a request that may be suspended."""

    ASK = "the server asks"
    SUSPEND = "the client gets the question"
    RESUME = "the client comes back"
    END = "the work ends"


_S, _I = Suspension, SuspensionInput

TRANSITIONS: Mapping[tuple[Suspension, SuspensionInput], Suspension] = {
    (_S.WORKING, _I.ASK): _S.ASKING,
    (_S.WORKING, _I.END): _S.ENDED,
    (_S.ASKING, _I.ASK): _S.ASKING,
    (_S.ASKING, _I.SUSPEND): _S.SUSPENDED,
    (_S.ASKING, _I.END): _S.ENDED,
    (_S.SUSPENDED, _I.ASK): _S.SUSPENDED,
    (_S.SUSPENDED, _I.RESUME): _S.WORKING,
    (_S.SUSPENDED, _I.END): _S.ENDED,
    (_S.ENDED, _I.ASK): _S.ENDED,
    (_S.ENDED, _I.RESUME): _S.ENDED,
}


def next_suspension(state: Suspension, happening: SuspensionInput) -> Suspension:
    """Look up the next state of a request that may be suspended.

    Raises:
        LocalProtocolError: The input is not allowed in this state.
    """
    try:
        return TRANSITIONS[state, happening]
    except KeyError:
        problem = f"a request that is {state.value} does not take {happening.value!r}"
        raise LocalProtocolError(problem) from None


ForwardedWork = Callable[["SuspendableRequest"], Coroutine[Any, Any, Result]]


class SuspendableRequest(ForwardedRequest):
    """A request whose server may ask in the middle of the work, and whose client gets that as a result.

    Args:
        caller: The client that made it.
        work: Forwards it; runs in a task of its own, which outlives the client's first request.
    """

    def __init__(self, caller: Caller, work: ForwardedWork) -> None:
        super().__init__(caller)
        self.state = Suspension.WORKING
        self.open: dict[str, Mapping[str, Any]] = {}
        """The questions that the client has not answered, by key."""
        self.task = asyncio.create_task(work(self))
        self.task.add_done_callback(self._end)
        self._expiry: asyncio.TimerHandle | None = None
        self._questions = 0
        self._halted = asyncio.Event()
        """Set while the client's request need not wait: there is a question, or the work is over."""
        self._resumed = asyncio.Event()
        """Set when the client is back, or the work is over."""

    async def ask(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the client and return its answer, which comes with another request.

        Raises:
            RPCError: The client cannot be asked that, or answered with an error.
        """
        self._questions += 1
        key = f"question-{self._questions}"
        while self.state is not Suspension.ENDED:
            try:
                return await self.caller.ask(key, method, params)
            except InputRequired as required:
                resumed = self._resumed
                self.state = next_suspension(self.state, SuspensionInput.ASK)
                self.open.update(required.requests)
                self._halted.set()
            await resumed.wait()
        raise InternalError("the request that the question is about is over")

    async def report_progress(self, progress: Progress) -> None:
        """Forward a progress report to the client, unless the client has a question to answer."""
        if self.state is Suspension.WORKING:
            await super().report_progress(progress)

    async def log(self, level: str, content: Any, logger: str | None) -> None:
        """Forward a log message to the client, unless the client has a question to answer."""
        if self.state is Suspension.WORKING:
            await super().log(level, content, logger)

    async def has_result(self) -> bool:
        """Wait for the result or a question; return whether there is a result."""
        try:
            await self._halted.wait()
        except asyncio.CancelledError:
            await self.cancel()
            raise
        return self.state is Suspension.ENDED

    def suspend(self, expiry: asyncio.TimerHandle) -> None:
        """Note that the client gets the questions, and the timer that runs until it is back."""
        self.state = next_suspension(self.state, SuspensionInput.SUSPEND)
        self._expiry = expiry

    def resume(self, caller: Caller) -> None:
        """Go on with the request that brings the answers."""
        self.state = next_suspension(self.state, SuspensionInput.RESUME)
        self.caller = caller
        if self._expiry is not None:
            self._expiry.cancel()
        if self.state is Suspension.WORKING:
            self.open.clear()
            self._halted.clear()
            self._resumed.set()
            self._resumed = asyncio.Event()

    def _end(self, task: asyncio.Task[Result]) -> None:
        if not task.cancelled():
            task.exception()  # noted as seen: the client may not come back for it
        self.state = next_suspension(self.state, SuspensionInput.END)
        self._halted.set()
        self._resumed.set()

    async def cancel(self) -> None:
        """Cancel the work, and wait for its end."""
        if self._expiry is not None:
            self._expiry.cancel()
        self.task.cancel()
        await asyncio.wait([self.task])


class SuspendedRequests:
    """The requests to one server whose clients have to come back with an answer.

    Args:
        seconds: Time for a client to come back.
    """

    def __init__(self, seconds: float = SUSPENDED_SECONDS) -> None:
        self._seconds = seconds
        self._suspended: dict[str, SuspendableRequest] = {}
        self._cancelling: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._suspended)

    async def run(self, caller: Caller, work: ForwardedWork) -> Result:
        """Begin the work, or go on with that whose answer has come, up to the next question.

        Raises:
            InputRequired: The client has to answer first.
            RPCError: The work failed, or no work waits for the answer.
        """
        token = caller.request_state
        if token is None:
            request = SuspendableRequest(caller, work)
        else:
            request = self._take(token, caller)
            request.resume(caller)
        if await request.has_result():
            return await request.task
        raise InputRequired(dict(request.open), await self._suspend(request))

    def _take(self, token: str, caller: Caller) -> SuspendableRequest:
        request = self._suspended.get(token)
        if request is None or not request.is_of_client(caller):
            raise InvalidParamsError(
                "the question was asked too long ago, or by another process; make the call again"
            )
        return self._suspended.pop(token)

    async def _suspend(self, request: SuspendableRequest) -> str:
        """Keep a request under a token, and return that."""
        if len(self._suspended) >= MAX_SUSPENDED:
            await request.cancel()
            raise InternalError("too many questions wait for an answer; try again later")
        token = secrets.token_urlsafe(TOKEN_BYTES)
        request.suspend(asyncio.get_running_loop().call_later(self._seconds, self._expire, token))
        self._suspended[token] = request
        return token

    def _expire(self, token: str) -> None:
        request = self._suspended.pop(token)
        task = asyncio.create_task(request.cancel())
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)

    async def close(self) -> None:
        """Cancel all work."""
        while self._suspended:
            await self._suspended.popitem()[1].cancel()


# ---- the gateway's own questions -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InputRound:
    """One round of a request, with the input for the server apart from that for the gateway itself.

    Attributes:
        caller: The client, with the input that is for the server.
        answers: The client's answers to the gateway's own questions, None where it was not asked.
    """

    caller: Caller
    answers: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, caller: Caller) -> InputRound:
        """Part the input that a client brings into the server's and the gateway's.

        Raises:
            InvalidParamsError: Its state looks like the gateway's, and is not.
        """
        state = caller.request_state
        if state is None or not state.startswith(STATE_PREFIX):
            return cls(caller)
        inner, responses, asked = _read_state(state)
        if not asked:
            return cls(caller.with_input(caller.input_responses, inner))
        return cls(caller.with_input(responses, inner), caller.input_responses or {})

    def restarted(self) -> InputRound:
        """Return the request as it was before the server asked anything."""
        return InputRound(self.caller.with_input(None, None), self.answers)

    def question(self, requests: Mapping[str, Mapping[str, Any]]) -> InputRequired:
        """Return the exception by which the gateway itself asks the client something."""
        caller = self.caller
        return InputRequired(requests, _state_of(caller.request_state, caller.input_responses, asked=True))

    def open_urls(self, refused: RPCError) -> InputRequired | None:
        """Return the question by which the client opens the URLs that a server's error names.

        None where the client gets the error: in the handshake era, which has that error for it, and
        where it cannot open URLs, or has been asked to.
        """
        if refused.code != URL_ELICITATION_REQUIRED or self.caller.revision.peer_requests:
            return None
        if not opens_urls(self.caller) or any(key.startswith(URL_KEY_PREFIX) for key in self.answers or ()):
            return None
        elicitations: list[Any] = refused.data["elicitations"]
        return self.question(
            {
                f"{URL_KEY_PREFIX}{number}": {
                    "method": "elicitation/create",
                    "params": {**elicitation, "mode": "url"},
                }
                for number, elicitation in enumerate(elicitations, 1)
            }
        )


def opens_urls(caller: Caller) -> bool:
    """Whether a client can be asked to open a URL."""
    return "url" in cast("dict[str, Any]", caller.capabilities.get("elicitation") or {})


def servers_question(requests: Mapping[str, Mapping[str, Any]], state: str | None) -> InputRequired:
    """Return the exception by which a server's question goes on to the client.

    Args:
        requests: The server's requests, by key.
        state: The server's state, which comes back unchanged even where it looks like the gateway's.
    """
    if state is not None and state.startswith(STATE_PREFIX):
        state = _state_of(state, None, asked=False)
    return InputRequired(requests, state)


def _state_of(state: str | None, responses: Mapping[str, Any] | None, *, asked: bool) -> str:
    kept = {"state": state, "responses": dict(responses) if responses is not None else None, "asked": asked}
    return STATE_PREFIX + jsonrpc.dumps(kept).decode()


def _read_state(state: str) -> tuple[str | None, Mapping[str, Any] | None, bool]:
    try:
        value: Any = from_json(state.removeprefix(STATE_PREFIX))
    except ValueError:
        value = None
    kept = cast("dict[str, Any]", value) if isinstance(value, dict) else {"state": 0}
    inner, responses = kept.get("state"), kept.get("responses")
    if not isinstance(inner, str | None) or not isinstance(responses, dict | None):
        raise InvalidParamsError("requestState was changed on its way")
    return inner, cast("dict[str, Any] | None", responses), kept.get("asked") is True
