"""The example of the core's page runs, and it and that of the tutorial end whatever their peer does."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def programs(page: str) -> list[str]:
    """Return the programs of a page."""
    return re.findall(r"^```python\n(.*?)^```\n", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


EXAMPLE = next(text for text in programs("docs/protocol-core.md") if "def list_tools(" in text)

#: The client of the tutorial, which speaks to a child process, as one of a socket.
TUTORIAL = """
from types import SimpleNamespace
def list_tools(stream):
    with stream.makefile("rb", buffering=0) as stdout, stream.makefile("wb", buffering=0) as stdin:
        return call(SimpleNamespace(stdin=stdin, stdout=stdout), "echo", {})
""" + next(
    text.partition("command = ")[0] for text in programs("docs/tutorial/embedding.md") if "def call(" in text
)

Peer = Callable[[socket.socket], None]


def against(peer: Peer, text: str, **changes: Any) -> Any:
    """Run the client of an example against a peer."""
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(text, "example", "exec"), names)
    names.update(changes)
    here, there = socket.socketpair()
    with here, there:
        there.settimeout(10)
        thread = threading.Thread(target=peer, args=(there,))
        thread.start()
        try:
            return names["list_tools"](here)
        finally:
            here.close()
            thread.join(10)
            assert not thread.is_alive()


def test_the_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(EXAMPLE, "docs/protocol-core.md", "exec"), names)
    assert capsys.readouterr().out == "['hello']\n"


def hang_up(stream: socket.socket) -> None:
    stream.recv(65536)
    stream.shutdown(socket.SHUT_RDWR)


def hang_up_later(stream: socket.socket) -> None:
    """Answer the handshake, read the request, and close."""
    answer(stream, {"result": {"supportedVersions": ["2026-07-28"], "capabilities": {}}})
    hang_up(stream)


def refuse(stream: socket.socket) -> None:
    """Answer everything with an error."""
    while answer(stream, {"error": {"code": -32603, "message": "not today"}}):
        pass


def silent(stream: socket.socket) -> None:
    while stream.recv(65536):
        pass


def answer(stream: socket.socket, outcome: dict[str, Any]) -> bool:
    """Answer the next message of the client; return whether there was one."""
    data = stream.recv(65536)
    if data:
        message = {"jsonrpc": "2.0", "id": json.loads(data)["id"], **outcome}
        stream.sendall(json.dumps(message).encode() + b"\n")
    return bool(data)


@pytest.mark.parametrize(
    ("peer", "error", "words"),
    [
        (hang_up, ConnectionError, "closed the stream"),
        (hang_up_later, ConnectionError, "closed the stream"),
        (refuse, Exception, "not today"),
    ],
)
@pytest.mark.parametrize("text", [EXAMPLE, TUTORIAL], ids=["page", "tutorial"])
def test_the_example_ends_with_its_peer(text: str, peer: Peer, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        against(peer, text)


@pytest.mark.parametrize("text", [EXAMPLE, TUTORIAL], ids=["page", "tutorial"])
def test_the_example_ends_though_its_peer_is_silent(text: str) -> None:
    with pytest.raises(TimeoutError, match=r"handshake|silent"):
        against(silent, text, SECONDS=0.2)
