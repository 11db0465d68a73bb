"""Whether a transport keeps the promises of a client, as a pytest suite.

Inherit from :class:`TransportContract` in a test module and say how your transport is
served::

    class TestMyTransport(TransportContract):
        @contextmanager
        def serving(self, server: ContractServer) -> Iterator[Transport]:
            with listening(server.connection) as address:  # yours
                yield MyTransport(address)

For each connection that comes, make a ``server.connection()``, give its ``receive`` every
message and send what it returns; close the connection on :class:`ServerEnded`.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import pytest

from routermcp import RouterMCPClient
from routermcp.transports import MessageStream, Transport
from routermcp.types import MCPError, Progress, RetryPolicy, TransportError
from routermcp_adapters.runtimes import auto

from . import three_runtimes
from .contract_server import CONTRACT_TOOLS, GARBAGE, ContractServer, ServerEnded
from .three_runtimes import RUNTIMES, abandon, gather, make_client

T = TypeVar("T")

__all__ = ["ContractServer", "ServerEnded", "TransportContract"]

#: Characters of a large message: more than any pipe or socket buffer takes at once.
LARGE = 2_000_000

#: Characters of a message that fits into no buffer of the system.
HUGE = 20_000_000

#: Callers at once.
CALLERS = 30

#: Seconds by which a busy machine may miss a deadline.
SLACK_SECONDS = 0.35

#: Milliseconds for which one call is not answered while others are.
BESIDE_MS = 1500

#: Seconds that closing may take: a client waits a little longer before it closes by force.
DISCONNECT_SECONDS = 4.0

#: Seconds after which a test hangs: many times what the slowest transport takes.
HANG_SECONDS = 40.0

#: Seconds that a thread or a descriptor has to be gone: many times what it takes.
CLEANUP_SECONDS = 10.0


class TransportContract:
    """The suite; each test runs on each of :attr:`runtimes`."""

    runtimes = RUNTIMES
    """The runtimes that the transport is for."""

    def serving(self, server: ContractServer) -> AbstractContextManager[Transport]:
        """Serve the transport while the context is entered; to be overridden.

        Args:
            server: Whose connections are to be served.
        """
        del server
        raise AssertionError(f"{type(self).__name__} has to say how its transport is served")

    @pytest.fixture(params=RUNTIMES)
    def runtime(self, request: pytest.FixtureRequest) -> str:
        """Each runtime in turn."""
        if request.param not in self.runtimes:
            pytest.skip(f"the transport is not for {request.param}")
        return request.param

    @pytest.fixture
    def server(self) -> ContractServer:
        """The server at the other end."""
        return ContractServer()

    @pytest.fixture
    def transport(self, server: ContractServer) -> Iterator[Transport]:
        """The transport, served."""
        with self.serving(server) as transport:
            yield transport

    def client(self, runtime: str, transport: Transport, **settings: Any) -> RouterMCPClient:
        """Make a client whose retries do not take long."""
        return make_client(runtime, transport=transport, retry=RetryPolicy(backoff=1), **settings)

    # ---- calls -------------------------------------------------------------------------

    @pytest.mark.parametrize("protocol", ["auto", "2026-07-28", "2025-11-25", "2024-11-05"])
    def test_calls_in_every_era(self, runtime: str, transport: Transport, protocol: str) -> None:
        """A client connects, lists, calls and learns of errors."""

        async def body() -> None:
            async with self.client(runtime, transport, protocol=protocol) as client:
                assert tuple(tool.name for tool in await client.list_tools()) == CONTRACT_TOOLS
                assert (await client.call_tool("echo", {"text": "hello"})).text == "hello"
                with pytest.raises(MCPError, match="no such thing"):
                    await client.call_tool("unknown")

        run_bounded(runtime, body)

    @pytest.mark.parametrize("text", ["", "\n", "\r\n\0\u2028", "\N{GRINNING FACE} äöü", '"{[\\', " x "])
    def test_messages_arrive_as_they_are(self, runtime: str, transport: Transport, text: str) -> None:
        """Whatever a text holds comes back."""

        async def body() -> str:
            async with self.client(runtime, transport) as client:
                return (await client.call_tool("echo", {"text": text})).text

        assert run_bounded(runtime, body) == text

    def test_large_messages(self, runtime: str, transport: Transport) -> None:
        """Large messages go both ways, several at once."""
        texts = [letter * LARGE for letter in "abc"]

        async def body() -> list[str]:
            async with self.client(runtime, transport) as client:

                def echo(text: str) -> Callable[[], Any]:
                    async def call() -> str:
                        return (await client.call_tool("echo", {"text": text})).text

                    return call

                return await gather(runtime, [echo(text) for text in texts])

        assert run_bounded(runtime, body) == texts

    def test_many_callers(self, runtime: str, transport: Transport) -> None:
        """Each of many callers gets its own answer."""

        async def body() -> list[str]:
            async with self.client(runtime, transport) as client:

                def echo(number: int) -> Callable[[], Any]:
                    async def call() -> str:
                        return (await client.call_tool("echo", {"text": str(number)})).text

                    return call

                return await gather(runtime, [echo(number) for number in range(CALLERS)])

        assert run_bounded(runtime, body) == [str(number) for number in range(CALLERS)]

    def test_progress(self, runtime: str, transport: Transport) -> None:
        """Progress comes in order and before the answer."""
        seen: list[float] = []

        def note(progress: Progress) -> None:
            seen.append(progress.progress)

        async def body() -> str:
            async with self.client(runtime, transport) as client:
                return (await client.call_tool("count", {"text": "done"}, on_progress=note)).text

        assert (run_bounded(runtime, body), seen) == ("done", [1, 2, 3])

    def test_calls_beside_one_that_is_not_answered(self, runtime: str, transport: Transport) -> None:
        """A waiting call is woken by a message for another one."""
        took: list[float] = []

        async def body() -> None:
            async with self.client(runtime, transport) as client:

                async def hang() -> None:
                    with pytest.raises(TransportError):
                        await client.call_tool("hang", timeout=BESIDE_MS)

                async def echo() -> None:
                    began = time.monotonic()
                    for text in "abcde":
                        assert (await client.call_tool("echo", {"text": text})).text == text
                    took.append(time.monotonic() - began)

                await gather(runtime, [hang, echo])

        run_bounded(runtime, body)
        assert took[0] < 0.9 * BESIDE_MS / 1000

    # ---- giving up -----------------------------------------------------------------------

    def test_a_call_that_is_given_up(self, runtime: str, transport: Transport) -> None:
        """The next call gets its own answer, in time."""

        async def body() -> None:
            async with self.client(runtime, transport) as client:

                async def hang(**options: Any) -> Any:
                    return await client.call_tool("hang", **options)

                for _ in range(3):
                    assert await abandon(runtime, 0.05, hang)
                    assert (await client.call_tool("echo", {"text": "next"})).text == "next"

        run_bounded(runtime, body)

    def test_a_deadline_is_kept(self, runtime: str, transport: Transport) -> None:
        """A call that is not answered ends at its deadline."""

        async def body() -> float:
            async with self.client(runtime, transport) as client:
                began = time.monotonic()
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("hang", timeout=200)
                assert caught.value.code == "timeout"
                return time.monotonic() - began

        assert 0.19 < run_bounded(runtime, body) < 0.2 + SLACK_SECONDS

    def test_a_large_message_that_is_given_up(self, runtime: str, transport: Transport) -> None:
        """No half message is left for the next call to stumble over."""

        async def body() -> None:
            async with self.client(runtime, transport) as client:

                async def send(**options: Any) -> Any:
                    return await client.call_tool("hang", {"text": "x" * LARGE}, **options)

                for seconds in (0.002, 0.01, 0.05):
                    assert await abandon(runtime, seconds, send)
                    assert (await client.call_tool("echo", {"text": "next"})).text == "next"

        run_bounded(runtime, body)

    def test_a_message_that_nobody_reads_is_given_up(self, runtime: str, transport: Transport) -> None:
        """The server has stopped reading for a while, so a part of the message is on its way."""

        async def body() -> None:
            async with self.client(runtime, transport) as client:

                async def pause(**options: Any) -> Any:
                    return await client.call_tool("pause", **options)

                async def send(**options: Any) -> Any:
                    return await client.call_tool("echo", {"text": "x" * HUGE}, **options)

                await abandon(runtime, 0.05, pause)
                await abandon(runtime, 0.15, send)
                assert (await client.call_tool("echo", {"text": "next"}, timeout=10_000)).text == "next"
                assert (await client.call_tool("executed", {"text": GARBAGE})).text == "0"

        run_bounded(runtime, body)

    # ---- ends ------------------------------------------------------------------------------

    def test_the_end_of_the_connection(
        self, runtime: str, transport: Transport, server: ContractServer
    ) -> None:
        """A lost call says so, is not repeated, and the next one finds the server again."""

        async def body() -> None:
            async with self.client(runtime, transport) as client:
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("end")
                assert caught.value.code in ("interrupted", "closed")
                assert (await client.call_tool("echo", {"text": "again"})).text == "again"

        run_bounded(runtime, body)
        if server.executed:
            assert server.executed["end"] == 1

    def test_closing_takes_no_time(self, runtime: str, transport: Transport) -> None:
        """A client is disconnected at once, whatever became of its calls."""

        async def body() -> float:
            client = self.client(runtime, transport)
            await client.connect()
            with pytest.raises(TransportError):
                await client.call_tool("hang", timeout=50)
            await client.call_tool("echo", {"text": "hello"})
            began = time.monotonic()
            await client.disconnect()
            return time.monotonic() - began

        assert run_bounded(runtime, body) < DISCONNECT_SECONDS

    @pytest.mark.parametrize("way", ["aclose", "abort"])
    def test_a_stream_that_was_closed(self, runtime: str, transport: Transport, way: str) -> None:
        """Sending and receiving fail on it, and it may be closed again."""

        async def body() -> None:
            stream = await transport.open(auto.blocking() if runtime == "blocking" else auto.running())
            if way == "aclose":
                await stream.aclose()
            stream.abort()
            stream.abort()
            with pytest.raises(OSError, match=r"\w"):
                await stream.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
            assert await _received(stream) == b""

        run_bounded(runtime, body)

    def test_connecting_again(self, runtime: str, transport: Transport) -> None:
        """A client that was disconnected may connect again."""

        async def body() -> None:
            client = self.client(runtime, transport)
            for _ in range(3):
                async with client:
                    assert (await client.call_tool("echo", {"text": "hello"})).text == "hello"

        run_bounded(runtime, body)

    def test_nothing_is_left_behind(self, runtime: str, transport: Transport) -> None:
        """Descriptors and threads are as they were."""

        async def body() -> None:
            async with self.client(runtime, transport) as client:
                await client.call_tool("echo", {"text": "hello"})
                with pytest.raises(TransportError):
                    await client.call_tool("hang", timeout=50)

        run_bounded(runtime, body)
        before = _remains()
        for _ in range(3):
            run_bounded(runtime, body)
        until = time.monotonic() + CLEANUP_SECONDS
        while _remains() > before and time.monotonic() < until:
            time.sleep(0.01)
        assert _remains() <= before


def run_bounded(runtime: str, body: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a body on a runtime, in a thread that is left behind if it hangs."""
    results: list[T] = []
    problems: list[BaseException] = []

    def work() -> None:
        try:
            results.append(three_runtimes.run(runtime, body))
        except BaseException as error:  # noqa: BLE001 - raised again below, whatever it is
            problems.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(HANG_SECONDS)
    assert not thread.is_alive(), f"it hangs: nothing has ended it within {HANG_SECONDS:.0f} s"
    if problems:
        raise problems[0]
    return results[0]


async def _received(stream: MessageStream) -> bytes:
    """Return what a stream says that was closed here; an error will do as well."""
    try:
        return await stream.receive()
    except OSError:
        return b""


def _remains() -> int:
    """How many descriptors are open and threads alive, where the system tells."""
    gc.collect()
    folder = "/proc/self/fd"
    return threading.active_count() + (len(os.listdir(folder)) if os.path.isdir(folder) else 0)
