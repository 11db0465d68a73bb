"""A hostile server's words on a terminal: no control character but newline and tab, one item one row."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.routermcp.server import HANDSHAKE, Exchange, ScriptedServer, ServerError
from tests.security.scripts import PATIENCE
from tests.security.terminal import COMMANDS, HOSTILE, HOSTILE_NAME, LIBRARY, OTHERS

#: A terminal so wide that no row is folded.
ROWS, COLUMNS = 50, 4_000

ITEMS = 3

#: What the program itself sends to move a bar of progress; nothing hostile looks so.
_BAR = re.compile(r"\r?\x1b\[(?:\?25[lh]|[0-9;]*[mK]|1A)")


def _do(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
    return {"content": [{"type": "text", "text": HOSTILE}], "structuredContent": {HOSTILE: HOSTILE}}


def _fail(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
    return {"content": [{"type": "text", "text": HOSTILE}], "isError": True}


def _refuse(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
    raise ServerError(-32000, HOSTILE, {"why": HOSTILE})


def _unreadable(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
    return {"content": HOSTILE, HOSTILE: HOSTILE}


def _many(make: Any, **members: Any) -> list[dict[str, Any]]:
    return [{"name": f"{HOSTILE_NAME}{number}", **members, **make(number)} for number in range(ITEMS)]


def hostile_server() -> ScriptedServer:
    server = ScriptedServer(HANDSHAKE)
    words = {"title": HOSTILE, "description": HOSTILE}
    schema = {"properties": {HOSTILE: {"type": HOSTILE, "enum": [HOSTILE]}}, "required": [HOSTILE]}
    bad = {"name": HOSTILE, "inputSchema": HOSTILE}
    server.results["tools/list"] = {"tools": [*_many(lambda n: {"inputSchema": schema}, **words), bad]}
    uri = {"uri": f"hostile:{HOSTILE_NAME}", "mimeType": HOSTILE}
    server.results["resources/list"] = {"resources": _many(lambda n: uri, **words)}
    server.results["resources/templates/list"] = {"resourceTemplates": []}
    server.results["resources/read"] = {"contents": [{**uri, "text": HOSTILE}, {**uri, "blob": "AAAA"}]}
    argument = {"name": HOSTILE_NAME, "required": True, **words}
    server.results["prompts/list"] = {"prompts": _many(lambda n: {"arguments": [argument]}, **words)}
    content = {"type": "text", "text": HOSTILE}
    server.results["prompts/get"] = {"messages": [{"role": "user", "content": content}]}
    server.tools.update(hostile=_do, failing=_fail, refused=_refuse, unreadable=_unreadable)
    return server


#: What a header may hold: no control character but C1.
HOSTILE_HEADER = "\x9b31m\x85 owned"


#: What a document of OAuth may hold: no half characters.
_WORDS = HOSTILE.replace("\ud800", "")


class _Other(BaseHTTPRequestHandler):
    """No MCP server: a gateway whose health is hostile, and a protected one with its authorization server."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        status, document = self._document(f"http://{self.headers['Host']}")
        body = json.dumps(document).encode("utf-8", "surrogatepass")
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", f'Bearer error="x", error_description="{HOSTILE_HEADER}"')
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def _document(self, base: str) -> tuple[int, object]:
        if self.path == "/health":
            about = {"state": _WORDS, "problem": _WORDS}
            return 200, {"status": _WORDS, "sessions": _WORDS, "upstreams": {_WORDS: about, "b": _WORDS}}
        if "oauth-protected-resource" in self.path:
            return 200, {"resource": f"{base}/mcp", "authorization_servers": [base], "resource_name": _WORDS}
        if "oauth-authorization-server" in self.path:
            ends = ("authorization", "token", "registration", "device_authorization")
            places = {f"{name}_endpoint": f"{base}/{name}" for name in ends}
            grants = ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"]
            supported = {"code_challenge_methods_supported": ["S256"], "grant_types_supported": grants}
            return 200, {"issuer": base, "scopes_supported": [_WORDS], **places, **supported}
        if self.path == "/registration":
            return 201, {"client_id": "c", "client_name": _WORDS}
        if self.path == "/device_authorization":
            code = {"device_code": "d", "user_code": "AB-CD", "verification_uri": f"{base}/d\u202e"}
            return 200, {**code, "expires_in": 1, "interval": 1}
        if self.path == "/token":
            return 400, {"error": _WORDS, "error_description": _WORDS}
        return (401, {"error": _WORDS}) if self.path.startswith("/mcp") else (404, _WORDS)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def other_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Other) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/mcp"
        finally:
            server.shutdown()


def on_terminal(command: list[str], home: Path) -> str:
    """Run a program on a terminal, and return what it shows there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    shown = bytearray()
    settings = {**os.environ, "COLUMNS": str(COLUMNS), "HOME": str(home)}
    none = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=none, stdout=theirs, stderr=theirs, env=settings) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # Linux says so that the last writer has gone
            while piece := os.read(ours, 65536):
                shown += piece
        process.wait(PATIENCE)
    os.close(ours)
    return shown.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each command and each use of the library shows."""
    with hostile_server() as server, other_server() as other:
        command = [sys.executable, str(Path(__file__).with_name("terminal.py")), server.url, other]
        text = on_terminal(command, tmp_path_factory.mktemp("home"))
    parts = re.split(r"^=== (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def controls(text: str) -> Iterator[str]:
    """Yield what controls a terminal or turns the direction of writing, and half characters."""
    for character in _BAR.sub("", text):
        if character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            yield repr(character)


def test_nothing_that_is_shown_controls_the_terminal(shown: dict[str, str]) -> None:
    assert len(shown) == 2 + len(COMMANDS) + len(OTHERS) + len(LIBRARY)  # serve and proxy
    found = {name: sorted(set(controls(text))) for name, text in shown.items()}
    assert {name: characters for name, characters in found.items() if characters} == {}


@pytest.mark.parametrize("command", ["tools", "resources", "prompts"])
def test_one_item_is_one_row(shown: dict[str, str], command: str) -> None:
    rows = shown[f'["{command}"]'].splitlines()
    assert len(rows) == ITEMS, rows


def test_hostile_words_are_found() -> None:
    assert len(set(controls(HOSTILE))) > 10
