"""Over HTTP, too, a session hears its server between calls."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self, cast

import pytest

from routermcp.types import MCPError, TransportError
from routermcp_adapters.http.server_stream import Reader, ServerStream
from routermcp_proto.events import Event, Outgoing
from tests.lifecycles import begun, pause
from tests.routermcp.server import HANDSHAKE, PATIENCE, STATELESS, Exchange, ScriptedServer
from tests.three_runtimes import gather, make_client, run


async def stream_of(runtime: str, server: ScriptedServer) -> Exchange:
    """Wait for the stream that the client opens."""
    while not (open_ones := [each for each in list(server.sessions.values()) if each is not None]):
        await pause(runtime)
    return open_ones[0]


@pytest.mark.parametrize("times", [1, 5])
def test_what_the_server_tells_between_calls_is_heard(runtime: str, era: str, times: int) -> None:
    heard: list[str] = []

    def on_notification(method: str, params: Mapping[str, Any]) -> None:
        heard.append(method)

    with ScriptedServer(era, listens=True) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, on_notification=on_notification) as client:
                for number in range(times):
                    (await stream_of(runtime, server)).notify("notifications/tools/list_changed")
                    while len(heard) == number:
                        await pause(runtime)
                    # A call beside it reads the same stream, which the attendant reads again after it.
                    assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

        run(runtime, body)
    assert heard == ["notifications/tools/list_changed"] * times


def test_calls_and_the_attendant_share_the_stream(runtime: str, era: str) -> None:
    with ScriptedServer(era, listens=True) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, on_notification=lambda *_: None) as client:
                for _ in range(5):
                    await gather(runtime, [client.list_tools] * 8)

        run(runtime, body)


@pytest.mark.parametrize("attend", [False, True])
def test_a_client_with_an_attendant_can_be_connected_again(runtime: str, era: str, attend: bool) -> None:
    with ScriptedServer(era, listens=True) as server:

        async def body() -> None:
            client = make_client(runtime, url=server.url, on_notification=lambda *_: None, attend=attend)
            for _ in range(3):
                async with client:
                    await client.call_tool("echo")
            with pytest.raises(MCPError, match="not connected"):
                await client.list_tools()

        run(runtime, body)


# ---- subscriptions of the stateless era ----------------------------------------------------------


def test_a_subscription_ends_with_disconnect(runtime: str) -> None:
    with ScriptedServer(STATELESS, listens=True) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, on_notification=lambda *_: None) as client:
                await stream_of(runtime, server)
                assert client.stats().in_use == 1
            assert client.stats().open == 0

        run(runtime, body)
        assert server.events["subscription closed"].wait(PATIENCE)
        (asked,) = server.requests("subscriptions/listen")
        assert asked.params["notifications"] == {"toolsListChanged": True}


def test_a_server_that_refuses_the_subscription_is_left_alone(runtime: str) -> None:
    with ScriptedServer(STATELESS, listens=True) as server:
        refusals = threading.Event()

        def refuse(exchange: Exchange) -> None:
            exchange.error(-32601, "no such method", status=404)
            refusals.set()

        server.script("subscriptions/listen", refuse)

        async def body() -> None:
            async with make_client(runtime, url=server.url, on_notification=lambda *_: None) as client:
                while not refusals.is_set():
                    await client.list_tools()
                await client.list_tools()

        run(runtime, body)
        assert len(server.requests("subscriptions/listen")) == 1


@pytest.mark.parametrize("case", ["no callback", "attend=False", "no announcements"])
def test_nothing_is_subscribed_to_in_vain(runtime: str, case: str) -> None:
    settings: dict[str, Any] = {} if case == "no callback" else {"on_notification": lambda *_: None}
    if case == "attend=False":
        settings["attend"] = False
    with ScriptedServer(STATELESS, listens=case != "no announcements") as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, **settings) as client:
                await client.list_tools()
                assert client.stats().open == 1

        run(runtime, body)
        assert server.requests("subscriptions/listen") == []


def test_sessions_without_an_open_stream_begin_nothing(runtime: str, era: str) -> None:
    with ScriptedServer(era) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                await client.list_tools()
                before = begun(runtime)
                for number in range(50):
                    await client.create_session(f"user-{number}").connect()
                assert begun(runtime) == before

        run(runtime, body)


def test_a_call_whose_connection_breaks_beside_the_stream_of_the_server(runtime: str) -> None:
    """Its error is that of a call that nothing reads beside, and no error of the operating system."""

    async def body() -> None:
        client = make_client(runtime, url=server.url, on_notification=lambda *_: None)
        await client.connect()
        server.script("tools/call", lambda exchange: exchange.hang_up(reset=True))
        with pytest.raises(TransportError) as caught:
            await client.call_tool("add", {"a": 1, "b": 2})
        assert caught.value.code in ("closed", "interrupted")
        await client.disconnect()

    with ScriptedServer(HANDSHAKE, listens=True) as server:
        run(runtime, body)


class _Shared:
    """The stream of the server in the place of :class:`ServerStream`, which is renewed once."""

    def __init__(self) -> None:
        self.stream: object | None = object()
        self.leader: object | None = None

    def read(self) -> list[Event]:
        return []


def test_a_stream_of_the_server_that_is_renewed_costs_no_call() -> None:
    """The call that leads waits for both streams; the one of the server may be closed meanwhile."""
    shared, waits = _Shared(), list[int]()

    class Runtime:
        async def wait_any(self, streams: list[object], flag: object) -> None:
            waits.append(len(streams))
            shared.stream = None
            raise OSError(errno.EBADF, "the connection was closed meanwhile")

    class Own:
        def receive_nowait(self) -> bytes | None:
            return b"answer" if waits else None

    reader: Any = Reader(cast("Any", shared), cast("Any", None))
    shared.leader = reader
    assert asyncio.run(reader.receive(Runtime(), Own(), None)) == b"answer"
    assert waits == [2]


class _Opening:
    """Whatever a stream of the server needs to be opened; it is closed while it waits for that."""

    listens = accepted = drained = False
    last_event_id = method = ""
    endpoint = None

    def __init__(self) -> None:
        self.waits = 0
        self.close: Callable[[], None] = lambda: None
        self.stream = self.reader = self
        self.listens = True

    def exchange(self, outgoing: Outgoing) -> Self:
        return self

    def resume(self, *given: object) -> Self:
        return self

    def start(self, method: str) -> None:
        pass

    def secrets(self) -> list[str]:
        return []

    def to_bytes(self) -> bytes:
        return b""

    async def send_all(self, data: bytes) -> None:
        pass

    async def lease(self, endpoint: object, *, control: bool) -> Self:
        return self

    def discard(self, connection: object) -> None:
        pass

    def now(self) -> float:
        return 0.0

    def shield(self, seconds: float) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    async def wait_any(self, streams: list[object], flag: object) -> None:
        self.waits += 1
        self.close()
        raise OSError(errno.EBADF, "the connection was closed meanwhile")


def test_a_stream_of_the_server_that_is_closed_while_it_is_opened_costs_no_session() -> None:
    opening: Any = _Opening()
    stream = ServerStream(opening)
    opening.close = stream.close

    async def no_headers() -> None:
        return None

    asyncio.run(stream.open(opening, opening, no_headers))
    assert opening.waits == 1
    assert stream.stream is None
