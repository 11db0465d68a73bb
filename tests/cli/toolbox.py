"""A server for tests of the command line, and how its programs are run."""

from __future__ import annotations

import asyncio
import base64
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from routermcp.cli import main
from routermcp.gateway import BuiltinTools, Caller, GatewayApp, Listing, serve_in_thread

#: Seconds that a program of a test may take.
PATIENCE = 30.0

TYPED = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "deep": {"type": "boolean"},
        "tags": {"type": "array"},
        "filter": {"type": "object"},
        "text": {"type": "string"},
        "level": {"$ref": "#/$defs/Level"},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["string", "integer"]},
        "free": {},
    },
    "required": ["count"],
    "$defs": {"Level": {"enum": ["low", "high", 3, None]}},
}

EXTRA_TOOLS: dict[str, Mapping[str, Any]] = {
    "typed": {"inputSchema": TYPED},
    "nasty": {
        "inputSchema": {"type": "object"},
        "description": "red \x1b[31m[bold]text[/bold]\x9b\nsecond :smile:",
    },
    "structured": {"inputSchema": {"type": "object"}},
    "mixed": {"inputSchema": {"type": "object"}},
    "two_images": {"inputSchema": {"type": "object"}},
    "broken_image": {"inputSchema": {"type": "object"}},
    "wordy": {"inputSchema": {"type": "object"}, "description": "words " * 100},
    "wait": {"inputSchema": {"type": "object"}},
    "fails": {"inputSchema": {"type": "object"}},
}


def image_of(content: bytes) -> dict[str, Any]:
    return {"type": "image", "mimeType": "image/png", "data": base64.b64encode(content).decode()}


class Toolbox(BuiltinTools):
    """The built-in tools, and some that are hard to show."""

    capabilities: Mapping[str, Any] = {
        **BuiltinTools.capabilities,
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
    }

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.announce: Callable[[str, Mapping[str, Any]], None] | None = None

    async def list_page(self, listing: Listing, cursor: str | None, caller: Caller) -> Mapping[str, Any]:
        page = dict(await super().list_page(listing, cursor, caller))
        if listing is Listing.TOOLS:
            page["tools"] = [*page["tools"], *({"name": name, **more} for name, more in EXTRA_TOOLS.items())]
        return page

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        if name == "typed":
            return {"content": [], "structuredContent": dict(arguments)}
        if name == "structured":
            return {"content": [], "structuredContent": {"größe": 1}}
        if name == "nasty":
            return {"content": [{"type": "text", "text": "\x1b[31mred"}]}
        if name == "fails":
            return {"content": [], "isError": True}
        if name == "mixed":
            image = image_of(b"123")
            resource = {"type": "resource", "resource": {"uri": "x://y", "text": "inside"}}
            return {"content": [{"type": "text", "text": "first"}, image, resource]}
        if name == "two_images":
            return {"content": [image_of(b"123"), image_of(b"456")]}
        if name == "broken_image":
            return {"content": [{**image_of(b""), "data": "no base64"}]}
        if name == "change" and self.announce is not None:
            self.announce(arguments["method"], arguments.get("params", {}))
            return {"content": []}
        if name == "wait":
            self.begun.set()
            await asyncio.Event().wait()
        return await super().call_tool(name, arguments, caller)


@pytest.fixture(scope="session")
def toolbox() -> Toolbox:
    return Toolbox()


@pytest.fixture(scope="session")
def url(toolbox: Toolbox) -> Iterator[str]:
    app = GatewayApp(toolbox)
    toolbox.announce = app.announce
    with serve_in_thread(app) as url:
        yield url


@pytest.fixture
def _server(monkeypatch: pytest.MonkeyPatch, _no_settings_from_outside: None, url: str) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROUTERMCP_URL", url)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let children notice SIGINT: one that is ignored here, as in a background job, is ignored there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _no_settings_from_outside: None) -> Path:
    """A folder that is both the user's and the current one."""
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Ended:
    """How a command ended, and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *argv: str) -> None:
        self.code = main(argv)
        self.out, self.err = capsys.readouterr()


def program(*argv: str, blocked: tuple[str, ...] = ()) -> list[str]:
    """Give the command that runs the command line in a process where some modules are not installed."""
    if not blocked:
        return [sys.executable, "-W", "error", "-m", "routermcp", *argv]
    source = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from routermcp.cli import main
sys.exit(main({list(argv)!r}))
"""
    return [sys.executable, "-W", "error", "-c", source]


def execute(*argv: str, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program(*argv, blocked=blocked), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
