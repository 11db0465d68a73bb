"""What every runtime has to offer, the same on all three."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from routermcp_adapters.concurrency.threads import MAX_THREADS, SHARED
from routermcp_adapters.http.connect import Resolver
from routermcp_adapters.runtime import Runtime, StreamClosedError
from routermcp_proto.exceptions import ConfigError
from tests.adapters.runtimes import (
    PATIENCE,
    RUNTIMES,
    connected,
    peer,
    read_until_closed,
    receive_exactly,
    run,
)
from tests.three_runtimes import gather

pytestmark = pytest.mark.parametrize("name", RUNTIMES)

Body = Callable[[Runtime], Coroutine[Any, Any, None]]


def hush(sock: socket.socket) -> None:
    """Accept everything and say nothing."""
    read_until_closed(sock)


def test_data_goes_both_ways_whole(name: str) -> None:
    sent = bytes(range(256)) * 20_000

    def echo(sock: socket.socket) -> None:
        data = bytearray()
        while len(data) < len(sent):
            data += sock.recv(65536)
        sock.sendall(data)
        read_until_closed(sock)

    async def body(runtime: Runtime) -> None:
        stream = await connected(runtime, echoing.address)
        await stream.send_all(sent)
        assert await receive_exactly(stream, len(sent)) == sent
        await stream.aclose()

    with peer(echo) as echoing:
        run(name, body)


def test_the_end_of_the_stream_is_empty_data(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        stream = await connected(runtime, closing.address)
        assert await receive_exactly(stream, 3) == b"bye"
        assert await stream.receive_some() == b""
        assert await stream.receive_some() == b""
        assert stream.receive_nowait() == b""
        stream.abort()

    with peer(lambda sock: sock.sendall(b"bye")) as closing:
        run(name, body)


def test_what_is_there_can_be_taken_without_waiting(name: str) -> None:
    proceed = threading.Event()

    def script(sock: socket.socket) -> None:
        proceed.wait(20)
        sock.sendall(b"now")
        read_until_closed(sock)

    async def body(runtime: Runtime) -> None:
        stream = await connected(runtime, serving.address)
        assert stream.receive_nowait() is None
        proceed.set()
        await runtime.wait_any([stream], None)
        assert stream.receive_nowait() == b"now"
        assert stream.receive_nowait() is None
        stream.abort()
        stream.abort()

    with peer(script) as serving:
        run(name, body)


def test_a_reset_is_an_error_or_an_end_and_sending_fails(name: str) -> None:
    proceed = threading.Event()

    def reset(sock: socket.socket) -> None:
        proceed.wait(20)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def body(runtime: Runtime) -> None:
        stream = await connected(runtime, serving.address)
        proceed.set()
        with contextlib.suppress(OSError):
            assert await stream.receive_some() == b""
        with contextlib.suppress(OSError):
            await stream.send_all(b"x")
        with contextlib.suppress(OSError):
            await stream.receive_some()
        with pytest.raises(StreamClosedError):
            await stream.send_all(b"x")
        stream.abort()

    with peer(reset) as serving:
        run(name, body)


def test_a_stream_that_was_closed_fails_as_streams_do(name: str) -> None:
    """Another thread may have closed it, so whoever comes then finds no mistake of theirs."""

    async def body(runtime: Runtime) -> None:
        stream = await connected(runtime, serving.address)
        stream.abort()
        stream.abort()
        with pytest.raises(StreamClosedError):
            await stream.send_all(b"x")
        received = b""
        with contextlib.suppress(OSError):
            received = await stream.receive_some()
        assert received == b""

    with peer(hush) as serving:
        run(name, body)


def test_what_was_sent_in_part_is_not_unsent(name: str) -> None:
    """Only who has sent nothing may say so: the request would be sent again."""

    def read_a_little(sock: socket.socket) -> None:
        sock.recv(1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def body(runtime: Runtime) -> None:
        stream = await connected(runtime, serving.address)
        with pytest.raises(OSError, match=r"\w") as caught:
            await stream.send_all(b"x" * 50_000_000)
        assert not isinstance(caught.value, StreamClosedError)
        stream.abort()

    with peer(read_a_little) as serving:
        run(name, body)


def test_a_closed_port_is_refused(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()

    async def body(runtime: Runtime) -> None:
        with pytest.raises(ConnectionRefusedError):
            await connected(runtime, address)

    run(name, body)


def test_a_deadline_ends_a_wait_and_says_so(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        stream = await connected(runtime, silent.address)
        began = runtime.now()
        scope = runtime.deadline(began + 0.05)
        with pytest.raises(TimeoutError):
            async with scope:
                await stream.receive_some()
        assert scope.expired
        assert 0.04 < runtime.now() - began < PATIENCE
        unhurried = runtime.deadline(None)
        async with unhurried:
            await runtime.sleep(0)
        assert not unhurried.expired
        stream.abort()

    with peer(hush) as silent:
        run(name, body)


def test_a_deadline_can_be_moved(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        later = runtime.deadline(runtime.now() + 0.2)
        async with later:
            later.move(runtime.now() + 20)
            await runtime.sleep(0.25)
        assert not later.expired
        sooner = runtime.deadline(runtime.now() + 20)
        with pytest.raises(TimeoutError):  # noqa: PT012 - the error comes out of the scope
            async with sooner:
                sooner.move(runtime.now() + 0.02)
                await runtime.sleep(20)
        assert sooner.expired
        lifted = runtime.deadline(runtime.now() + 0.2)
        async with lifted:
            lifted.move(None)
            await runtime.sleep(0.25)
        assert not lifted.expired

    run(name, body)


def test_the_nearest_of_nested_deadlines_counts(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        outer = runtime.deadline(runtime.now() + 0.02)
        inner = runtime.deadline(runtime.now() + 20)
        with pytest.raises(TimeoutError):
            async with outer, inner:
                await runtime.sleep(20)
        assert (outer.expired, inner.expired) == (True, False)

    run(name, body)


def test_a_shield_gives_time_for_a_last_word(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        spoken: list[str] = []
        with pytest.raises(TimeoutError):  # noqa: PT012 - the error comes out of the scope
            async with runtime.deadline(runtime.now() + 0.02):
                try:
                    await runtime.sleep(20)
                finally:
                    async with runtime.shield(5):
                        await runtime.sleep(0.01)
                        spoken.append("bye")
        assert spoken == ["bye"]
        async with runtime.shield(0.02):
            await runtime.sleep(20)
            spoken.append("never")
        assert spoken == ["bye"]

    run(name, body)


def test_errors_of_the_enclosed_code_pass(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        with pytest.raises(KeyError):
            async with runtime.deadline(runtime.now() + 20):
                raise KeyError("x")
        with pytest.raises(KeyError):
            async with runtime.shield(20):
                raise KeyError("x")
        scope = runtime.deadline(runtime.now() + 20)
        with pytest.raises(TimeoutError, match="mine"):
            async with scope:
                raise TimeoutError("mine")
        assert not scope.expired

    run(name, body)


def test_several_streams_and_a_flag_are_waited_for_at_once(name: str) -> None:
    proceed = threading.Event()

    def script(sock: socket.socket) -> None:
        kind = sock.recv(1)
        if kind == b"1":
            proceed.wait(20)
            sock.sendall(b"one")
        read_until_closed(sock)

    async def body(runtime: Runtime) -> None:
        talking = await connected(runtime, first.address)
        silent = await connected(runtime, second.address)
        await talking.send_all(b"1")
        await silent.send_all(b"2")
        flag = runtime.event()
        with pytest.raises(TimeoutError):
            async with runtime.deadline(runtime.now() + 0.02):
                await runtime.wait_any([talking, silent], flag)
        proceed.set()
        await runtime.wait_any([silent, talking], flag)
        assert (talking.receive_nowait(), silent.receive_nowait()) == (b"one", None)
        flag.set()
        await runtime.wait_any([silent], flag)
        await flag.wait()
        raised = runtime.event()
        raised.set()
        raised.set()
        await runtime.wait_any([silent], raised)
        talking.abort()
        silent.abort()

    with peer(script) as first, peer(script) as second:
        run(name, body)


def test_a_flag_may_be_raised_any_number_of_times(name: str) -> None:
    """Whether or not a waiter takes notice in between."""

    async def body(runtime: Runtime) -> None:
        flag = runtime.event()
        with pytest.raises(TimeoutError):
            async with runtime.deadline(runtime.now() + 0.01):
                await runtime.wait_ready([], [], flag)
        for _ in range(10_000):
            flag.set()
        await runtime.wait_ready([], [], flag)

    run(name, body)


def test_what_is_begun_goes_on_by_itself(name: str) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    heard: list[str] = []

    async def body(runtime: Runtime) -> None:
        go_on, over = runtime.event(), runtime.event()

        async def work() -> None:
            await go_on.wait()
            heard.append(tenant.get())
            # It may need a thread of its own meanwhile.
            heard.append(await runtime.run_blocking(lambda: "done"))
            over.set()

        tenant.set("acme")

        async def begin() -> None:
            async with runtime.deadline(runtime.now() + 0.05):
                runtime.begin(work)
                await over.wait()

        with pytest.raises(TimeoutError):
            await begin()
        assert heard == []
        go_on.set()
        await over.wait()

    contextvars.copy_context().run(run, name, body)
    assert heard == ["acme", "done"]


def test_blocking_work_is_done_elsewhere(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        here = threading.get_ident()
        assert await runtime.run_blocking(threading.get_ident) != here
        worker = await runtime.run_blocking(threading.current_thread)
        assert worker.daemon, "nobody has to wait for it at exit"
        with pytest.raises(ZeroDivisionError):
            await runtime.run_blocking(lambda: 1 // 0)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await runtime.run_blocking(functools.partial(next, iter(())))
        with pytest.raises(SystemExit):
            await runtime.run_blocking(sys.exit)

    run(name, body)


def test_blocking_work_knows_on_whose_behalf_it_is_done(name: str) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")

    async def body(runtime: Runtime) -> None:
        tenant.set("acme")
        assert await runtime.run_blocking(tenant.get) == "acme"

    contextvars.copy_context().run(run, name, body)


def test_more_blocking_work_than_threads_is_done_in_turn(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        done: list[int] = []

        async def one(number: int) -> None:
            await runtime.run_blocking(lambda: done.append(number))

        await gather(name, [functools.partial(one, number) for number in range(200)])
        assert sorted(done) == list(range(200))

    run(name, body)


def test_blocking_work_is_left_behind_at_the_deadline(name: str) -> None:
    finish = threading.Event()

    async def body(runtime: Runtime) -> None:
        began = runtime.now()
        with pytest.raises(TimeoutError):
            async with runtime.deadline(began + 0.05):
                await runtime.run_blocking(functools.partial(finish.wait, 20))
        assert runtime.now() - began < 5

    run(name, body)
    finish.set()


def test_chance_is_between_nothing_and_one(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        assert all(0 <= runtime.random() <= 1 for _ in range(100))
        assert runtime.name == name

    run(name, body)


def test_a_runtime_belongs_where_it_was_made(name: str) -> None:
    made: list[Runtime] = []

    async def make(runtime: Runtime) -> None:
        runtime.check()
        made.append(runtime)

    async def elsewhere(runtime: Runtime) -> None:
        del runtime
        if name == "blocking":
            made[0].check()
        else:
            with pytest.raises(ConfigError):
                made[0].check()

    run(name, make)
    run(name, elsewhere)


# ---- TLS -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, which is its own authority; key and certificate in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.fail("the tests of TLS need the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += [
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost,IP:127.0.0.1",
    ]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "certificate.pem").read_text())
    return both


def tls_script(certificate: Path) -> Callable[[socket.socket], None]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    def script(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as secure:
            data = secure.recv(65536)
            secure.sendall(data.upper() * 20_000)
            with contextlib.suppress(OSError):
                read_until_closed(secure)

    return script


def test_tls_carries_data_both_ways(name: str, certificate: Path) -> None:
    async def body(runtime: Runtime) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        stream = await runtime.connect([(socket.AF_INET, serving.address)], context, "localhost")
        assert stream.receive_nowait() is None
        await stream.send_all(b"hello")
        assert await receive_exactly(stream, 100_000) == b"HELLO" * 20_000
        assert stream.receive_nowait() is None
        await stream.aclose()

    with peer(tls_script(certificate)) as serving:
        run(name, body)


@pytest.mark.parametrize(("trusted", "host"), [(False, "localhost"), (True, "other.example")])
def test_a_certificate_that_does_not_fit_is_refused(
    name: str, certificate: Path, trusted: bool, host: str
) -> None:
    async def body(runtime: Runtime) -> None:
        context = ssl.create_default_context(cafile=str(certificate) if trusted else None)
        with pytest.raises(ssl.SSLCertVerificationError):
            await runtime.connect([(socket.AF_INET, serving.address)], context, host)

    with peer(tls_script(certificate)) as serving:
        run(name, body)


def test_a_plain_server_is_no_tls_server(name: str) -> None:
    def plain(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        read_until_closed(sock)

    async def body(runtime: Runtime) -> None:
        with pytest.raises(ssl.SSLError):
            await runtime.connect(
                [(socket.AF_INET, serving.address)], ssl.create_default_context(), "localhost"
            )

    with peer(plain) as serving:
        run(name, body)


def test_a_silent_tls_server_does_not_hold_the_deadline(name: str) -> None:
    async def body(runtime: Runtime) -> None:
        began = runtime.now()
        with pytest.raises(TimeoutError):
            async with runtime.deadline(began + 0.05):
                await runtime.connect(
                    [(socket.AF_INET, serving.address)], ssl.create_default_context(), "localhost"
                )
        assert runtime.now() - began < PATIENCE

    with peer(hush) as serving:
        run(name, body)


def test_names_are_looked_up_though_a_token_store_hangs(name: str) -> None:
    done = threading.Event()

    async def body(runtime: Runtime) -> None:
        hung = [SHARED.start(lambda: done.wait(PATIENCE), lambda *_: None) for _ in range(MAX_THREADS)]
        try:
            async with runtime.deadline(runtime.now() + PATIENCE / 2):
                assert await Resolver().addresses(runtime, "localhost", 1)
        finally:
            done.set()
        assert hung

    run(name, body)
