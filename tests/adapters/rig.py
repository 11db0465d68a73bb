"""The driver between scripted peers and a clock that only moves when somebody waits."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from routermcp_adapters.call.driver import CallOptions, Driver, DriverSettings
from routermcp_adapters.call.incoming import Reply, SessionRenewal
from routermcp_adapters.http.connection import PooledConnection
from routermcp_adapters.http.pooled import PooledTransport
from routermcp_adapters.http.session import HTTPSession
from routermcp_adapters.limits import PoolLimits
from routermcp_adapters.runtime import Runtime
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import RequestReceived
from routermcp_proto.exceptions import AuthorizationRequiredError
from routermcp_proto.http.binding import HTTPBinding
from routermcp_proto.http.reader import EndOfBody
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.retry import RetryPolicy
from routermcp_proto.types.reading import ListLimits
from tests.adapters.scripted_runtime import MemoryRuntime, Move, Pause, Peer

STATELESS = "2026-07-28"
HANDSHAKE = "2025-11-25"

END = b"0\r\n\r\n"


@dataclass(slots=True)
class Request:
    """One request, as the peer has read it."""

    verb: str
    headers: dict[str, str]
    message: dict[str, Any]
    at: float
    connection: int

    @property
    def method(self) -> str:
        """The method of MCP, or the verb where there is none."""
        return self.message.get("method") or ("answer" if self.message else self.verb)

    @property
    def params(self) -> dict[str, Any]:
        return self.message.get("params") or {}


#: What the peer does upon a request.
Answer = Callable[[Request], Iterable[Move]]


def http(status: int, body: object = b"", *headers: str, content_type: str = "application/json") -> bytes:
    """An answer of any status."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {content_type}", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + data


def result(value: Mapping[str, Any], *headers: str) -> Answer:
    """Answer with a result."""

    def answer(request: Request) -> list[Move]:
        message = {"jsonrpc": "2.0", "id": request.message["id"], "result": dict(value)}
        return [http(200, message, *headers)]

    return answer


def text(words: str) -> Answer:
    """Answer with the result of a tool."""
    return result({"resultType": "complete", "content": [{"type": "text", "text": words}]})


def error(code: int, message: str, status: int = 200, data: object = None) -> Answer:
    """Answer with an error object."""

    def answer(request: Request) -> list[Move]:
        body: dict[str, Any] = {"code": code, "message": message}
        if data is not None:
            body["data"] = data
        return [http(status, {"jsonrpc": "2.0", "id": request.message.get("id"), "error": body})]

    return answer


def says(*moves: Move) -> Answer:
    """Do this, whatever was asked."""
    return lambda request: moves


def after(seconds: float, answer: Answer) -> Answer:
    """Let time pass first."""
    return lambda request: [Pause(seconds), *answer(request)]


def stream_head(*headers: str) -> bytes:
    """The head of an event stream."""
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def event(message: object, event_id: str | None = None, retry: int | None = None) -> bytes:
    """One event, as a chunk."""
    lines = [f"id: {event_id}"] if event_id is not None else []
    lines += [f"retry: {retry}"] if retry is not None else []
    lines.append(f"data: {json.dumps(message)}" if message is not None else "data:")
    data = "\n".join([*lines, "", ""]).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


CAPABILITIES = {"tools": {}}
SERVER_INFO = {"name": "scripted", "version": "1"}

#: A page of a list that has nothing on it.
PAGE = {"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private"}

DISCOVERED = result(
    {
        "resultType": "complete",
        "supportedVersions": [STATELESS],
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER_INFO,
    }
)


class Forgetful:
    """Answers the handshake of 2025-11-25, with a new session id each time."""

    def __init__(self) -> None:
        self.sessions = 0

    def __call__(self, request: Request) -> list[Move]:
        self.sessions += 1
        value = {"protocolVersion": HANDSHAKE, "capabilities": CAPABILITIES, "serverInfo": SERVER_INFO}
        return list(result(value, f"Mcp-Session-Id: session-{self.sessions}")(request))


def answer(connection: PooledConnection) -> PooledConnection:
    """Let a connection have carried an exchange."""
    connection.reader.start(b"POST")
    connection.reader.receive_data(http(200, b"{}"))
    while not isinstance(connection.reader.next_event(), EndOfBody):
        pass
    connection.drained = True
    return connection


class LoneEvent:
    """A flag where there is one thread only: who waits for it before it is raised waits for ever."""

    def __init__(self, runtime: MemoryRuntime) -> None:
        self._runtime = runtime
        self._raised = False

    def set(self) -> None:
        self._raised = True

    async def wait(self) -> None:
        if not self._raised:
            await self._runtime.sleep(float("inf"))


class LoneRuntime(MemoryRuntime):
    """One for tests that have no other thread, in which a wait that nobody ends is an error at once."""

    def event(self) -> Any:
        return LoneEvent(self)


class Callbacks:
    """Answers the server, and lets time pass meanwhile."""

    def __init__(self) -> None:
        self.runtime: MemoryRuntime | None = None
        self.takes = 0.0
        self.asked: list[str] = []
        self.heard: list[str] = []
        self.signs_in = False

    def take_over(self, asked: RequestReceived, reply: Reply) -> bool:
        return False

    async def answer(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(method)
        if self.runtime is not None:
            await self.runtime.sleep(self.takes)
        return {"action": "accept", "content": {}}

    async def hear(self, method: str, params: Mapping[str, Any]) -> None:
        self.heard.append(method)

    async def renewed(self, renewal: SessionRenewal) -> None:
        self.heard.append("renewed")

    async def authorize(self, required: AuthorizationRequiredError) -> bool:
        return self.signs_in


class Unwatched(PooledTransport):
    """Connections of a rig, which is thrown away with them: nobody is to be warned of that."""

    def _make_pool(self, runtime: Runtime) -> None:
        super()._make_pool(runtime)
        self._guard.resources = None


@dataclass
class Rig:
    """A driver with everything around it.

    Attributes:
        answers: What the peer does upon the next requests of a method, one after the other.
        usual: What it does upon all others.
    """

    protocol: str = STATELESS
    chance: float = 0.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    interaction_timeout: int = 60_000
    max_connections: int = 100
    list_limits: ListLimits = field(default_factory=ListLimits)
    url: str = "http://127.0.0.1:1/mcp"
    usual: dict[str, Answer] = field(default_factory=dict[str, Answer])
    answers: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])
    dials: list[OSError] = field(default_factory=list[OSError])
    """What becomes of the next connections instead."""

    def __post_init__(self) -> None:
        self.requests: list[Request] = []
        self.callbacks = Callbacks()
        self.usual = {
            "server/discover": DISCOVERED,
            "initialize": Forgetful(),
            "notifications/initialized": says(http(202)),
            "notifications/cancelled": says(http(202)),
            "answer": says(http(202)),
            "GET": says(http(405)),
            "DELETE": says(http(204)),
            "tools/call": text("done"),
            "tools/list": result(
                {"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private"}
            ),
            **self.usual,
        }
        self.runtime = LoneRuntime(self._connection, chance=self.chance)
        self.callbacks.runtime = self.runtime
        endpoint = EndpointURL.parse(self.url)
        self.transport = Unwatched(
            endpoint, ssl.create_default_context, PoolLimits(max_connections=self.max_connections)
        )
        machine = ClientSession(
            client_info={"name": "test", "version": "1"},
            capabilities={"elicitation": {"form": {}}},
            protocol=self.protocol,
            list_limits=self.list_limits,
            in_slices=True,
        )
        carrier = HTTPSession(self.transport, HTTPBinding(machine, endpoint, {}), self.callbacks, self.retry)
        self.driver = Driver(
            carrier,
            self.callbacks,
            DriverSettings(
                retry=self.retry,
                interaction_timeout=self.interaction_timeout,
                gateway=False,
            ),
        )

    def _connection(self) -> Peer:
        number = len(self.runtime.streams)
        if self.dials:
            raise self.dials.pop(0)
        return lambda data: self._treat(data, number)

    def _treat(self, data: bytes, connection: int) -> Iterable[Move]:
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        message = json.loads(body) if body else {}
        request = Request(first.split(" ")[0], headers, message, self.runtime.now(), connection)
        self.requests.append(request)
        scripted = self.answers.get(request.method)
        return (scripted.pop(0) if scripted else self.usual[request.method])(request)

    # ---- what tests do -----------------------------------------------------------------

    def connect(self, timeout: int = 30_000) -> Rig:
        """Open the session."""
        run_sync(self.driver.connect(self.runtime, timeout))
        return self

    def call(self, call: Any, timeout: int = 30_000, **options: Any) -> Any:
        """Make a call."""
        return run_sync(self.driver.call(call, CallOptions(timeout, **options)))

    def collect(self, call: Any, timeout: int = 30_000) -> list[Any]:
        """Make a call for all pages of a list."""
        return run_sync(self.driver.collect(call, CallOptions(timeout)))

    def disconnect(self) -> None:
        """End the session."""
        run_sync(self.driver.disconnect())

    def at(self, method: str) -> list[float]:
        """When the requests of a method came, in seconds."""
        return [request.at for request in self.requests if request.method == method]

    def of(self, method: str) -> list[Request]:
        """The requests of a method."""
        return [request for request in self.requests if request.method == method]
