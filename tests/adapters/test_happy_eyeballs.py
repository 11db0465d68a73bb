"""Opening connections: names, several addresses, Unix sockets, TLS, and the deadline over all of it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routermcp_adapters.http.connect import Resolver, dial
from routermcp_adapters.runtime import Address, Runtime
from routermcp_adapters.runtimes import happy_eyeballs
from routermcp_adapters.runtimes.asyncio import AsyncioRuntime
from routermcp_adapters.runtimes.happy_eyeballs import ATTEMPT_DELAY, connect_first
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.url import EndpointURL
from tests.adapters.runtimes import PATIENCE, RUNTIMES, peer, read_until_closed, receive_exactly, run
from tests.three_runtimes import SLACK_SECONDS

pytestmark = pytest.mark.parametrize("name", RUNTIMES)


def greet(sock: socket.socket) -> None:
    sock.sendall(b"hello")
    read_until_closed(sock)


@contextlib.contextmanager
def black_hole() -> Iterator[Address]:
    """An address at which nothing ever answers: a queue that is full, and nobody who accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield socket.AF_INET, listener.getsockname()


def open_sockets() -> int:
    """Count sockets, and not all descriptors: libuv keeps one of /dev/null in reserve."""
    links = (os.path.join("/proc/self/fd", name) for name in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.lexists(link))


def closed_port() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return socket.AF_INET, gone.getsockname()


async def greeting(runtime: Runtime, addresses: list[Address]) -> bytes:
    stream = await runtime.connect(addresses, None, "localhost")
    try:
        return await receive_exactly(stream, 5)
    finally:
        stream.abort()


# ---- several addresses -------------------------------------------------------------------------


def test_an_address_that_refuses_costs_nothing(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        began = runtime.now()
        gone = closed_port()
        addresses = [gone, gone, (socket.AF_INET, serving.address)]
        (await connect_first(runtime, addresses, attempt_delay=60)).close()
        assert runtime.now() - began < PATIENCE

    with peer(greet) as serving:
        run(name, body)


def test_an_address_that_is_silent_costs_a_quarter_of_a_second(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        began = runtime.now()
        async with runtime.deadline(began + PATIENCE):
            assert await greeting(runtime, [silent, silent, (socket.AF_INET, serving.address)]) == b"hello"
        took = runtime.now() - began
        assert 2 * ATTEMPT_DELAY - 0.05 < took < 2 * ATTEMPT_DELAY + 2

    with peer(greet) as serving, black_hole() as silent:
        run(name, body)


def test_small_pieces_are_sent_at_once(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        sock = await connect_first(runtime, [(socket.AF_INET, serving.address)])
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.close()

    with peer(greet) as serving:
        run(name, body)


def test_the_attempts_that_lose_are_closed(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        before = open_sockets()
        stream = await runtime.connect([silent, (socket.AF_INET, other.getsockname())], None, "localhost")
        assert open_sockets() == before + 1
        stream.abort()

    # The kernel answers for one that listens; nobody accepts, which would open a descriptor here.
    with socket.create_server(("127.0.0.1", 0)) as other, black_hole() as silent:
        run(name, body)


def test_a_refusal_says_more_than_an_unreachable_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable: Address = (socket.AF_INET6, ("2001:db8::1", 9, 0, 0))
    connect = socket.socket.connect

    def without_a_route(sock: socket.socket, address: Any) -> None:
        if sock.family == socket.AF_INET6:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        connect(sock, address)

    monkeypatch.setattr(
        happy_eyeballs.socket, "socket", type("Socket", (socket.socket,), {"connect": without_a_route})
    )

    async def body(runtime: Runtime) -> None:
        with pytest.raises(ConnectionRefusedError):
            await runtime.connect([closed_port(), unreachable], None, "localhost")
        with pytest.raises(OSError, match="unreachable"):
            await runtime.connect([unreachable], None, "localhost")

    run(name, body)


def test_the_deadline_ends_all_attempts(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        before = open_sockets()
        began = runtime.now()
        with pytest.raises(TimeoutError):
            async with runtime.deadline(began + 0.4):
                await runtime.connect([silent, silent], None, "localhost")
        assert runtime.now() - began < 2
        assert open_sockets() == before

    with black_hole() as silent:
        run(name, body)


def test_a_host_without_addresses(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        with pytest.raises(OSError, match="no address"):
            await runtime.connect([], None, "localhost")

    run(name, body)


def test_a_loop_that_cannot_watch_sockets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise NotImplementedError

    async def body(runtime: Runtime) -> None:
        if isinstance(runtime, AsyncioRuntime):
            monkeypatch.setattr(asyncio.get_running_loop(), "add_writer", refuse)
            sock = await connect_first(runtime, [silent, (socket.AF_INET, serving.address)])
            sock.close()

    with peer(greet) as serving, black_hole() as silent:
        run(name, body)


# ---- names -------------------------------------------------------------------------------------


@pytest.fixture
def slow_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that takes as long as it is let, which is longer than anybody waits here."""
    finish = threading.Event()

    def resolve(*args: object, **options: object) -> list[Any]:
        finish.wait(3 * PATIENCE)
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield finish
    finish.set()


def test_a_slow_resolver_holds_neither_the_deadline_nor_the_end_of_the_loop(
    name: str, slow_resolver: threading.Event
) -> None:
    async def body(runtime: Runtime) -> None:
        began = runtime.now()
        with pytest.raises(TimeoutError):
            async with runtime.deadline(began + 0.3):
                await dial(runtime, Resolver(), EndpointURL.parse("http://slow.example/"), None)
        assert runtime.now() - began < 0.3 + SLACK_SECONDS

    began = time.monotonic()
    run(name, body)
    assert time.monotonic() - began < 5


def test_a_name_is_looked_up_once_for_a_while(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lookups: list[str] = []

    def resolve(host: str, port: int, **options: object) -> list[Any]:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", serving.address)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def body(runtime: Runtime) -> None:
        resolver = Resolver()
        for _ in range(3):
            (await dial(runtime, resolver, EndpointURL.parse("http://one.example/"), None))[0].abort()
        (await dial(runtime, resolver, EndpointURL.parse("http://two.example/"), None))[0].abort()

    with peer(greet) as serving:
        run(name, body)
    assert lookups == ["one.example", "two.example"]


def test_a_name_that_does_not_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*args: object, **options: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    async def body(runtime: Runtime) -> None:
        with pytest.raises(TransportError, match=r"no\.example.*spelling") as caught:
            await dial(runtime, Resolver(), EndpointURL.parse("http://no.example/"), None)
        assert (caught.value.code, caught.value.not_run) == ("dns", True)

    run(name, body)


# ---- Unix sockets ------------------------------------------------------------------------------


def unix_url(path: Path) -> EndpointURL:
    return EndpointURL.parse(f"http+unix://{str(path).replace('/', '%2F')}/mcp")


def test_a_unix_socket_carries_data(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                greet(accepted)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()

        async def body(runtime: Runtime) -> None:
            stream, _ = await dial(runtime, Resolver(), unix_url(path), None)
            assert await receive_exactly(stream, 5) == b"hello"
            await stream.aclose()

        run(name, body)
        serving.join(20)


def test_a_unix_socket_that_is_not_there(name: str, tmp_path: Path) -> None:
    async def body(runtime: Runtime) -> None:
        with pytest.raises(TransportError, match="no such socket") as caught:
            await dial(runtime, Resolver(), unix_url(tmp_path / "none.sock"), None)
        assert (caught.value.code, caught.value.not_run) == ("connect", True)

    run(name, body)


def test_a_unix_socket_whose_queue_is_full_is_waited_for(name: str, tmp_path: Path) -> None:
    path = tmp_path / "busy.sock"
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(0)
        first = stack.enter_context(socket.socket(socket.AF_UNIX))
        first.connect(str(path))

        async def body(runtime: Runtime) -> None:
            with pytest.raises(TimeoutError):
                async with runtime.deadline(runtime.now() + 0.1):
                    await dial(runtime, Resolver(), unix_url(path), None)
            listener.accept()[0].close()
            stream, _ = await dial(runtime, Resolver(), unix_url(path), None)
            stream.abort()

        run(name, body)


def test_a_unix_socket_is_tried_again_until_its_queue_has_a_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "busy.sock"
    waits: list[float | None] = []

    async def body(runtime: Runtime) -> None:
        wait_ready = runtime.wait_ready

        async def counted(*args: Any, seconds: float | None = None) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                listener.accept()[0].close()
            await wait_ready(*args, seconds=seconds)

        monkeypatch.setattr(runtime, "wait_ready", counted)
        async with runtime.deadline(runtime.now() + PATIENCE):
            (await dial(runtime, Resolver(), unix_url(path), None))[0].abort()
            assert len(waits) == 3
            with pytest.raises(BlockingIOError):
                await connect_first(runtime, [(socket.AF_UNIX, str(path))], busy_tries=2)
        assert len(waits) == 4

    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(path))
        listener.listen(0)
        first.connect(str(path))
        run(name, body)


def test_a_system_without_unix_sockets(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(runtime: Runtime) -> None:
        monkeypatch.delattr(socket, "AF_UNIX")
        with pytest.raises(TransportError, match="no Unix sockets"):
            await dial(runtime, Resolver(), unix_url(tmp_path / "x.sock"), None)
        monkeypatch.undo()  # the loop may need them to close

    run(name, body)


# ---- TLS ---------------------------------------------------------------------------------------


def test_a_silent_tls_server_counts_toward_the_deadline_of_the_whole(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        began = runtime.now()
        endpoint = EndpointURL.parse(f"https://127.0.0.1:{serving.address[1]}/")
        with pytest.raises(TimeoutError):
            async with runtime.deadline(began + 0.3):
                await dial(runtime, Resolver(), endpoint, ssl.create_default_context())
        assert runtime.now() - began < 0.3 + SLACK_SECONDS

    with peer(read_until_closed) as serving:  # pyright: ignore[reportArgumentType]
        run(name, body)
