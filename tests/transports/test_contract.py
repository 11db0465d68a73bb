"""Our own transports, and those of the guide, keep the contract of transports."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from routermcp.testing.contract_server import ContractConnection, ContractServer, ServerEnded
from routermcp.testing.transport_contract import TransportContract
from routermcp.transports import LineStream, MessageStream, Runtime, Transport, stdio

ROOT = Path(__file__).resolve().parents[2]


def example(name: str) -> ModuleType:
    """Load an example of the guide."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "documented",
    [
        TransportContract.serving,
        TransportContract.client,
        ContractServer.connection,
        ContractConnection.receive,
    ],
    ids=lambda function: function.__qualname__,
)
def test_the_page_has_the_signatures(documented: Callable[..., Any]) -> None:
    words = str(inspect.signature(documented)).replace("'", "").replace("self, ", "").replace("self", "")
    assert f"`{documented.__qualname__}{words}`" in (ROOT / "docs" / "transports.md").read_text()


class TestStdio(TransportContract):
    @contextlib.contextmanager
    def serving(self, server: ContractServer) -> Iterator[Transport]:
        path = os.pathsep.join([str(ROOT), str(ROOT / "adapters")])
        yield stdio([sys.executable, "-m", "routermcp.testing.contract_server"], env={"PYTHONPATH": path})


class TestInProcess(TransportContract):
    @contextlib.contextmanager
    def serving(self, server: ContractServer) -> Iterator[Transport]:
        module = example("in_process_transport")
        yield module.InProcessTransport(lambda: server.connection().receive, ServerEnded)


class TestWebSocket(TransportContract):
    @contextlib.contextmanager
    def serving(self, server: ContractServer) -> Iterator[Transport]:
        def handle(connection: ServerConnection) -> None:
            served = server.connection()
            with contextlib.suppress(ConnectionClosed):
                for message in connection:
                    try:
                        replies = served.receive(message.encode() if isinstance(message, str) else message)
                    except ServerEnded:
                        connection.close_socket()
                        return
                    for reply in replies:
                        connection.send(reply.decode())

        with serve(handle, "127.0.0.1", 0, max_size=None) as listening:
            port = listening.socket.getsockname()[1]
            thread = threading.Thread(target=listening.serve_forever)
            thread.start()
            yield example("websocket_transport").WebSocketTransport(f"ws://127.0.0.1:{port}/mcp")
            listening.shutdown()
            thread.join(20)


class LinesOverTCP:
    """The smallest transport: a line each over a socket of the runtime."""

    def __init__(self, address: Any) -> None:
        self._address = address

    async def open(self, runtime: Runtime) -> MessageStream:
        return LineStream(await runtime.connect([(socket.AF_INET, self._address)], None, "localhost"))

    def __str__(self) -> str:
        return "tcp"


class TestLinesOverTCP(TransportContract):
    @contextlib.contextmanager
    def serving(self, server: ContractServer) -> Iterator[Transport]:
        with listening(lambda sock: serve_lines(server, sock)) as address:
            yield LinesOverTCP(address)


def serve_lines(server: ContractServer, sock: socket.socket) -> None:
    served = server.connection()
    with sock, sock.makefile("rb") as lines, contextlib.suppress(OSError):
        for line in lines:
            if not line.endswith(b"\n"):
                return  # the connection ended in the middle of it
            try:
                replies = served.receive(line)
            except ServerEnded:
                return
            for reply in replies:
                sock.sendall(reply + b"\n")


@contextlib.contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[Any]:
    """Accept connections in threads."""
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threads.append(threading.Thread(target=handle, args=(sock,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=accept)
        accepting.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(20)
    for thread in threads:
        thread.join(20)
