"""The application under uvicorn, beside the program that uses it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ..config.listening import DEFAULT_DRAIN_SECONDS
from .bounds import DEFAULT_BOUNDS, ConnectionBounds

if TYPE_CHECKING:
    import uvicorn

    from ..http.gateway_app import GatewayApp
    from ..http.project_gateway import ProjectGateway
    from .protocol import BoundedProtocol
    from .proxy_app import ProxyApp

#: Seconds for the server to start, and again to end. It takes a tenth of one; a machine
#: under full load may take several.
WAIT_SECONDS = 10.0

#: Seconds that requests under way get when a server beside a program ends.
GRACE_SECONDS = 1

#: Connections that wait to be accepted: uvicorn's default.
BACKLOG = 2048


@contextmanager
def serve_in_thread(
    app: GatewayApp | ProjectGateway,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    bounds: ConnectionBounds = DEFAULT_BOUNDS,
) -> Generator[str]:
    """Serve an application from a thread of its own, for as long as the block runs.

    The thread ends with the block, however that ends, and at the latest with the program.

    Args:
        app: The application.
        host: Address to listen on.
        port: Port to listen on, 0 for a free one.
        bounds: What connections of clients may take.

    Yields:
        The URL of the MCP endpoint.

    Raises:
        ModuleNotFoundError: uvicorn is not installed; it comes with ``routermcp[gateway]``.
        OSError: The address is not free.
        RuntimeError: The server did not start.
    """
    started = threading.Event()
    server = _uvicorn_server(app, started.set, bounds)
    with _listening_socket(host, port) as listener:
        url = _url_of(listener, host, app.path)

        def serve() -> None:
            try:
                # uvicorn ends the program where an application cannot begin.
                with contextlib.suppress(SystemExit):
                    server.run(sockets=[listener])
            finally:
                started.set()

        thread = threading.Thread(target=serve, name=f"routermcp-gateway {url}", daemon=True)
        thread.start()
        try:
            if not started.wait(WAIT_SECONDS) or not server.started:
                raise RuntimeError(f"the local server at {url} did not start")
            yield url
        finally:
            server.should_exit = True
            thread.join(WAIT_SECONDS)


def serve_here(
    app: ProjectGateway | ProxyApp,
    *,
    host: str,
    port: int,
    on_start: Callable[[str], None],
    bounds: ConnectionBounds = DEFAULT_BOUNDS,
    drain_seconds: float = DEFAULT_DRAIN_SECONDS,
    on_hangup: Callable[[], None] | None = None,
    idle_seconds: float | None = None,
) -> None:
    """Serve an application in this thread, the main one, until SIGINT or SIGTERM.

    After SIGTERM the requests under way get their time, and the program goes on after this.

    Args:
        app: The application.
        host: Address to listen on.
        port: Port to listen on, 0 for a free one.
        on_start: Called with the URL of the MCP endpoint when the server listens.
        bounds: What connections of clients may take.
        drain_seconds: Seconds that requests under way get when it ends.
        on_hangup: Called in the event loop on SIGHUP, where the system has it.
        idle_seconds: Seconds without a request under way after which it ends, None for never.

    Raises:
        ModuleNotFoundError: uvicorn is not installed; it comes with ``routermcp[gateway]``.
        OSError: The address is not free.
        RuntimeError: The application did not start.
        KeyboardInterrupt: SIGINT ended the server, in an orderly way.
    """
    with _listening_socket(host, port) as listener:

        def started() -> None:
            if server.started:
                if on_hangup is not None and hasattr(signal, "SIGHUP"):
                    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)
                spare_the_collector()
                on_start(_url_of(listener, host, app.path))

        server = _uvicorn_server(app, started, bounds, drain_seconds, idle_seconds)
        with _sigterm_handled():
            server.run(sockets=[listener])
        if not server.started:
            raise RuntimeError("the gateway did not start; the log says why")


def _uvicorn_server(
    app: GatewayApp | ProjectGateway | ProxyApp,
    on_startup: Callable[[], None],
    bounds: ConnectionBounds,
    drain_seconds: float = 0.0,
    idle_seconds: float | None = None,
) -> uvicorn.Server:
    """Return a server that calls a function when its startup has ended, well or not."""
    import uvicorn  # noqa: PLC0415 - of the extra ``gateway``, which the application itself does not need

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_startup()

    longest = math.inf if idle_seconds is None else idle_seconds

    class IdleServer(Server):
        """Ends by itself; it looks ten times a second whether it is used, which the other does not."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self.used_at = time.monotonic()

        async def on_tick(self, counter: int) -> bool:
            if self.server_state.tasks:
                self.used_at = time.monotonic()
            return await super().on_tick(counter) or time.monotonic() - self.used_at > longest

    server_class = Server if idle_seconds is None else IdleServer
    return server_class(uvicorn.Config(app, **_uvicorn_options(bounds, drain_seconds)))


class _TerminatedError(Exception):
    """SIGTERM, as uvicorn raises it again when it has ended."""


@contextmanager
def _sigterm_handled() -> Generator[None]:
    """Return in an orderly way after SIGTERM, which uvicorn hands on to the handler that was there."""

    def end(_number: int, _frame: object) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        with contextlib.suppress(_TerminatedError):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


def serve_workers(
    application: str,
    *,
    host: str,
    port: int,
    workers: int,
    on_start: Callable[[str], None],
    bounds: ConnectionBounds = DEFAULT_BOUNDS,
    drain_seconds: float = DEFAULT_DRAIN_SECONDS,
    may_restart: Callable[[], bool] = lambda: True,
) -> None:
    """Serve an application from several processes on one port, until SIGINT or SIGTERM.

    A worker that ends is replaced. On SIGHUP all are, by new ones that are ready.

    Args:
        application: The function that makes it in each worker, as ``module:function``.
        host: Address to listen on.
        port: Port to listen on, 0 for a free one.
        workers: Number of processes.
        on_start: Called with the URL that the processes listen at.
        bounds: What connections of clients may take of each process.
        drain_seconds: Seconds that requests under way get when a worker ends.
        may_restart: Tells on SIGHUP whether workers could start now; where not, these stay.

    Raises:
        ModuleNotFoundError: uvicorn is not installed; it comes with ``routermcp[gateway]``.
        OSError: The address is not free.
        RuntimeError: A worker did not start.
        KeyboardInterrupt: SIGINT ended the workers, in an orderly way.
    """
    import uvicorn  # noqa: PLC0415 - of the extra ``gateway``

    from .supervisor import Supervisor  # noqa: PLC0415 - needs uvicorn

    options = _uvicorn_options(bounds, drain_seconds)
    config = uvicorn.Config(application, factory=True, workers=workers, **options)
    with _listening_socket(host, port) as listener:
        supervisor = Supervisor(config, listener, may_restart, drain_seconds)
        on_start(_url_of(listener, host, ""))
        supervisor.run()
    if supervisor.interrupted:
        raise KeyboardInterrupt
    if supervisor.failed:
        raise RuntimeError("the workers did not start; the log says why")


def _url_of(listener: socket.socket, host: str, path: str) -> str:
    return f"http://{authority(host, listener.getsockname()[1])}{path}"


def authority(host: str, port: int) -> str:
    """Return a host and a port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


#: Options of uvicorn however it is started. With uvloop, which the extra brings where it exists.
_OPTIONS: dict[str, Any] = {
    "loop": "auto",
    "ws": "none",
    "lifespan": "auto",
    "log_config": None,
    "log_level": "critical",
    "access_log": False,
    "server_header": False,
    # The address of a client decides what it may do, so no header may claim another one.
    "proxy_headers": False,
    # Never reached: the protocol refuses a head of less, as soon as it has read it.
    "h11_max_incomplete_event_size": 1024 * 1024,
}


#: Objects by which those that are in use may grow before the collector looks for circles
#: among them. Requests under way at once are thousands of objects that go by themselves, so
#: that the usual 700 has it look all the time: a tenth of a busy gateway's time.
COLLECT_AFTER = 50_000


def spare_the_collector() -> None:
    """Have the garbage collector run more rarely, and skip the objects that are there to stay.

    To be called once, in a process that does nothing but serve, when it is ready.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


def _uvicorn_options(bounds: ConnectionBounds, drain_seconds: float) -> dict[str, Any]:
    # The application itself ends requests after that time; their answers have to go out yet.
    grace = math.ceil(drain_seconds) + GRACE_SECONDS
    return {
        "http": partial(_protocol(), bounds=bounds),
        "limit_concurrency": bounds.connections,
        "timeout_graceful_shutdown": grace,
        **_OPTIONS,
    }


def _protocol() -> type[BoundedProtocol]:
    """Return the protocol over httptools, or over h11 where httptools is not installed."""
    try:
        from .httptools_protocol import BoundedHttptoolsProtocol  # noqa: PLC0415 - of the extra
    except ModuleNotFoundError:
        from .h11_protocol import BoundedH11Protocol  # noqa: PLC0415 - needs uvicorn

        return BoundedH11Protocol
    return BoundedHttptoolsProtocol


def _listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it
    # every answer waits 40 ms for an acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
