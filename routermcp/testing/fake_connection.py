"""One connection of a :class:`~routermcp.testing.FakeServer`, without any I/O."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, cast

from routermcp_proto.calls import Call
from routermcp_proto.error_codes import INVALID_PARAMS, METHOD_NOT_FOUND
from routermcp_proto.events import (
    ErrorReceived,
    MessageReady,
    RequestReceived,
    RequestWithdrawn,
    ResponseReceived,
)
from routermcp_proto.exceptions import RPCError
from routermcp_proto.jsonrpc import ErrorObject, RequestId
from routermcp_proto.names import ACKNOWLEDGED, SUBSCRIPTION_ID_KEY
from routermcp_proto.server_session import ServerSession
from routermcp_proto.types import WireModel

from .fake_tools import Ask, Report, Steps

#: The key of the one question that a call asks at a time.
QUESTION = "question"


class FakeBackend(Protocol):
    """What connections serve: the :class:`~routermcp.testing.FakeServer`."""

    name: str
    suspended: dict[str, Steps]
    """Calls that wait for the client's answer, by the state that it comes with."""

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """The capabilities that it declares."""
        ...

    def delay_of(self, asked: RequestReceived) -> float:
        """Return the milliseconds before a request is begun."""
        ...

    def begin(self, asked: RequestReceived) -> Steps:
        """Begin a request.

        Raises:
            RPCError: There is nothing of that name, or it is to fail.
            OSError: The connection is to break.
        """
        ...

    def suspend(self, steps: Steps) -> str:
        """Keep a call until the client comes with the answer; return the state that it comes with."""
        ...


class FakeConnection:
    """Takes messages of the client, and says what is to be sent and when.

    Args:
        server: What it serves.
    """

    def __init__(self, server: FakeBackend) -> None:
        self._server = server
        self._session = ServerSession(
            server_info={"name": server.name, "version": "1"}, capabilities=server.capabilities
        )
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._sent: list[bytes] = []
        self._now = 0.0
        self._running: dict[RequestId, Steps] = {}
        self._asked: dict[RequestId, RequestReceived] = {}
        self._listening: RequestReceived | None = None
        self.broken: OSError | None = None
        """Why the connection ended, once a function has broken it."""

    def receive(self, payload: bytes, now: float) -> None:
        """Take a message."""
        self._now = now
        for event in self._session.receive_message(payload):
            if isinstance(event, MessageReady):
                self._sent.append(event.outgoing.payload)
            elif isinstance(event, RequestReceived):
                self._take(event)
            elif isinstance(event, ResponseReceived):
                answer: Mapping[str, Any] = event.value.model_extra or {}
                self._answered(event.request_id, lambda steps, answer=answer: steps.send(answer))
            elif isinstance(event, ErrorReceived):
                error = RPCError(event.error.message, code=event.error.code, data=event.error.data)
                self._answered(event.request_id, lambda steps, error=error: steps.throw(error))
            elif isinstance(event, RequestWithdrawn):
                steps = self._running.pop(event.request_id, None)
                if steps is not None:
                    steps.close()

    def to_send(self, now: float) -> list[bytes]:
        """Do what is due, and return the messages to be sent."""
        self._now = now
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()
        sent, self._sent = self._sent, []
        return sent

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until something is due, None for nothing."""
        return max(0.0, self._due[0][0] - now) if self._due else None

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        """Send a notification: in the stateless era, where the client has subscribed to some."""
        if self._listening is not None:
            own = {SUBSCRIPTION_ID_KEY: self._listening.request_id}
            params = {**params, "_meta": {**(params.get("_meta") or {}), **own}}
        elif self._session.revision is None:
            return
        self._sent.append(self._session.start_notification(method, params).payload)

    # ---- requests --------------------------------------------------------------------------------

    def _take(self, asked: RequestReceived) -> None:
        if asked.method == "subscriptions/listen":
            self._listening = asked  # it is answered when the connection ends
            self.notify(ACKNOWLEDGED, {"notifications": asked.params.get("notifications") or {}})
            return
        state = asked.params.get("requestState")
        steps = self._server.suspended.pop(state, None) if isinstance(state, str) else None
        if steps is not None:
            answers = cast("Mapping[str, Any]", asked.params.get("inputResponses") or {})
            self._go_on(asked, steps, lambda steps: steps.send(answers.get(QUESTION)))
            return
        delay = self._server.delay_of(asked)
        self._later(delay, partial(self._begin, asked))

    def _begin(self, asked: RequestReceived) -> None:
        try:
            steps = self._server.begin(asked)
        except RPCError as error:
            self._refuse(asked, error)
        except OSError as error:
            self.broken = error
        else:
            self._go_on(asked, steps, next)

    def _go_on(self, asked: RequestReceived, steps: Steps, step: Callable[[Steps], Any]) -> None:
        """Run a call to its end, or to where it has to wait."""
        self._running[asked.request_id] = steps
        try:
            while True:
                wanted = step(steps)
                if isinstance(wanted, Ask):
                    return self._ask(asked, steps, wanted)
                if not isinstance(wanted, Report):
                    return self._later(wanted.milliseconds, partial(self._resume, asked, steps))
                self._report(asked, wanted)
                step = next
        except StopIteration as ended:
            self._sent.append(self._session.answer(asked.request_id, ended.value))
        except RPCError as error:
            self._refuse(asked, error)
        except OSError as error:
            self.broken = error
        self._running.pop(asked.request_id, None)
        return None

    def _resume(self, asked: RequestReceived, steps: Steps) -> None:
        if self._running.get(asked.request_id) is steps:  # else the client has cancelled it
            self._go_on(asked, steps, next)

    def _report(self, asked: RequestReceived, report: Report) -> None:
        token = asked.progress_token
        if token is not None:
            sent = self._session.report_progress(
                token, report.progress, total=report.total, message=report.message
            )
            self._sent.append(sent.payload)

    def _ask(self, asked: RequestReceived, steps: Steps, question: Ask) -> None:
        if asked.revision.peer_requests:
            call = Call(question.method, question.params, WireModel, safe=False)
            outgoing = self._session.start_request(call)
            self._asked[outgoing.request_id or 0] = asked
            self._sent.append(outgoing.payload)
            return
        del self._running[asked.request_id]
        state = self._server.suspend(steps)
        request = {"method": question.method, "params": dict(question.params)}
        result = {"resultType": "input_required", "inputRequests": {QUESTION: request}, "requestState": state}
        self._sent.append(self._session.answer(asked.request_id, result))

    def _answered(self, question: RequestId, step: Callable[[Steps], Any]) -> None:
        asked = self._asked.pop(question, None)
        steps = self._running.get(asked.request_id) if asked is not None else None
        if asked is not None and steps is not None:
            self._go_on(asked, steps, step)

    def _refuse(self, asked: RequestReceived, error: RPCError) -> None:
        refusal = ErrorObject(error.code, error.message, error.data)
        self._sent.append(self._session.refuse(asked.request_id, refusal))

    def _later(self, milliseconds: float, work: Callable[[], None]) -> None:
        if milliseconds <= 0:
            return work()
        return heapq.heappush(self._due, (self._now + milliseconds / 1000, next(self._numbers), work))


def unknown(method: str) -> RPCError:
    """Return the error for a method that the server does not have."""
    return RPCError(f"unknown method {method}", code=METHOD_NOT_FOUND)


def missing(what: str, name: Any) -> RPCError:
    """Return the error for a tool, a prompt or a resource that the server does not have."""
    return RPCError(f"unknown {what}: {name}", code=INVALID_PARAMS)
