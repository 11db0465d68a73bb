"""What any program answers at ``/health`` is read within bounds of time, memory and shape."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from routermcp.cli.serving import ServerHealth, fetch_health, servers_in
from routermcp.types import TransportError


@contextlib.contextmanager
def answering(body: bytes, *, endless: bool = False) -> Iterator[str]:
    """Serve a body at every path, again and again where it is endless."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)
                while endless:
                    self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/mcp"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("body", [b"[" * 100_000, b"no JSON", b"\xff", b"[]"])
def test_another_answer_is_no_gateway(body: bytes) -> None:
    with answering(body) as url, pytest.raises(TransportError, match="no gateway"):
        fetch_health(url, None)


def test_an_answer_has_its_size() -> None:
    with answering(b" " * 65536, endless=True) as url, pytest.raises(TransportError, match="1048576 bytes"):
        fetch_health(url, None)


def test_an_answer_has_its_time() -> None:
    with answering(b" " * 100, endless=True) as url, pytest.raises(TransportError, match=r"more than 0\.0 s"):
        fetch_health(url, None, seconds=0.0)


def test_servers_of_another_shape_are_passed_over() -> None:
    told = {"upstreams": {"a": {"state": "ready"}, "b": 5, "c": None, "d": {"state": ["x"], "problem": 7}}}
    assert servers_in(json.loads(json.dumps(told))) == [
        ServerHealth("a", "ready", ""),
        ServerHealth("d", "['x']", "7"),
    ]
    assert servers_in({"upstreams": []}) == []
