"""The rules of the two state machines, and the only code that moves them.

Rules
-----
* A session is of one era. It starts ``NEW``; a client that does not know the server's
  era sends ``server/discover`` (``PROBING``), a client that knows or assumes
  the handshake era sends ``initialize`` (``INITIALIZING``).
* Only a ``READY`` session takes calls. A server session becomes ready when it has
  answered ``initialize``: old clients leave ``notifications/initialized`` out.
  Requests of the stateless era need no session state at all and move nothing.
* A session that has expired at the server is ``NEW`` again. ``CLOSED`` is final.
* A request is ``PENDING`` until exactly one thing ends it: its answer, a cancel, or the
  end of the connection. What arrives later for it is dropped.

Theory
------
Both machines are tables of ``(state, input) -> state``. A pair that is not in the table
is an error of the code that drives the machine and raises :class:`LocalProtocolError`.
Nothing else in the core assigns a state.
"""

from __future__ import annotations

from enum import Enum

from .exceptions import LocalProtocolError


class _Constant(Enum):
    """A state or an input: half of a key of the tables below."""

    # That of Enum is written in Python, and each answer would pay for it twice.
    __hash__ = object.__hash__


class SessionState(_Constant):
    """A state of a session."""

    NEW = "new"
    PROBING = "probing"
    INITIALIZING = "initializing"
    READY = "ready"
    CLOSED = "closed"


class SessionInput(_Constant):
    """An input of a session's machine."""

    PROBE = "server/discover"
    INITIALIZE = "initialize"
    AGREE = "agreed"
    FAIL = "failed"
    EXPIRE = "expired"
    CLOSE = "closed"


class RequestState(_Constant):
    """A state of a request that was sent."""

    PENDING = "pending"
    ANSWERED = "answered"
    CANCELLED = "cancelled"
    LOST = "lost"


class RequestInput(_Constant):
    """An input of the machine of a request that was sent."""

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


def next_session_state(state: SessionState, input_: SessionInput) -> SessionState:
    """Return the next state of a session.

    Raises:
        LocalProtocolError: The input is not allowed in this state.
    """
    try:
        return SESSION_TRANSITIONS[state, input_]
    except KeyError:
        problem = f"a session that is {state.value} does not accept {input_.value!r}"
        raise LocalProtocolError(problem) from None


def next_request_state(state: RequestState, input_: RequestInput) -> RequestState:
    """Return the next state of a request.

    Raises:
        LocalProtocolError: The input is not allowed in this state.
    """
    try:
        return REQUEST_TRANSITIONS[state, input_]
    except KeyError:
        problem = f"a request that is {state.value} does not accept {input_.value!r}"
        raise LocalProtocolError(problem) from None
