"""The rules of the two state machines, and the only code that moves them.

Rules
-----
* A session is of one era. It starts ``NEW``; a client that wants to know the server's
  era first sends ``server/discover`` (``PROBING``), one that knows or guesses the
  handshake era sends ``initialize`` (``INITIALIZING``).
* Only a ``READY`` session takes calls. A server session becomes ready when it has
  answered ``initialize``: old clients leave ``notifications/initialized`` out.
  Requests of the stateless era need no session state at all and move nothing.
* A session that the server has forgotten is ``NEW`` again. ``CLOSED`` is final.
* A request is ``PENDING`` until exactly one thing ends it: its answer, a cancel, or the
  end of the connection. What arrives later for it is dropped.

Theory
------
Both machines are tables of ``(state, input) -> state``. A pair that is not in the table
is a mistake of the code that drives the machine and raises :class:`LocalProtocolError`.
Nothing else in the core assigns a state.
"""

from __future__ import annotations

from enum import Enum

from .exceptions import LocalProtocolError


class SessionState(Enum):
    """Where a session stands."""

    NEW = "new"
    PROBING = "probing"
    INITIALIZING = "initializing"
    READY = "ready"
    CLOSED = "closed"


class SessionInput(Enum):
    """What happens to a session."""

    PROBE = "server/discover"
    INITIALIZE = "initialize"
    AGREE = "agreed"
    FAIL = "failed"
    EXPIRE = "expired"
    CLOSE = "closed"


class RequestState(Enum):
    """Where a request that was sent stands."""

    PENDING = "pending"
    ANSWERED = "answered"
    CANCELLED = "cancelled"
    LOST = "lost"


class RequestInput(Enum):
    """What happens to a request that was sent."""

    ANSWER = "answer"
    CANCEL = "cancel"
    EOF = "end of connection"


_S, _I = SessionState, SessionInput

SESSION_TRANSITIONS: dict[tuple[SessionState, SessionInput], SessionState] = {
    (_S.NEW, _I.PROBE): _S.PROBING,
    (_S.NEW, _I.INITIALIZE): _S.INITIALIZING,
    (_S.NEW, _I.EXPIRE): _S.NEW,
    (_S.NEW, _I.CLOSE): _S.CLOSED,
    (_S.PROBING, _I.PROBE): _S.PROBING,
    (_S.PROBING, _I.INITIALIZE): _S.INITIALIZING,
    (_S.PROBING, _I.AGREE): _S.READY,
    (_S.PROBING, _I.FAIL): _S.NEW,
    (_S.PROBING, _I.CLOSE): _S.CLOSED,
    (_S.INITIALIZING, _I.PROBE): _S.PROBING,
    (_S.INITIALIZING, _I.INITIALIZE): _S.INITIALIZING,
    (_S.INITIALIZING, _I.AGREE): _S.READY,
    (_S.INITIALIZING, _I.FAIL): _S.NEW,
    (_S.INITIALIZING, _I.CLOSE): _S.CLOSED,
    (_S.READY, _I.EXPIRE): _S.NEW,
    (_S.READY, _I.CLOSE): _S.CLOSED,
    (_S.CLOSED, _I.CLOSE): _S.CLOSED,
}

REQUEST_TRANSITIONS: dict[tuple[RequestState, RequestInput], RequestState] = {
    (RequestState.PENDING, RequestInput.ANSWER): RequestState.ANSWERED,
    (RequestState.PENDING, RequestInput.CANCEL): RequestState.CANCELLED,
    (RequestState.PENDING, RequestInput.EOF): RequestState.LOST,
}


def next_session_state(state: SessionState, happening: SessionInput) -> SessionState:
    """Look up where a session goes.

    Raises:
        LocalProtocolError: The input is not allowed in this state.
    """
    try:
        return SESSION_TRANSITIONS[state, happening]
    except KeyError:
        problem = f"a session that is {state.value} does not take {happening.value!r}"
        raise LocalProtocolError(problem) from None


def next_request_state(state: RequestState, happening: RequestInput) -> RequestState:
    """Look up where a request goes.

    Raises:
        LocalProtocolError: The input is not allowed in this state.
    """
    try:
        return REQUEST_TRANSITIONS[state, happening]
    except KeyError:
        problem = f"a request that is {state.value} does not take {happening.value!r}"
        raise LocalProtocolError(problem) from None
