"""The pytest plugin: a server, clients and recordings as fixtures.

pytest imports this module each time that it starts, so routermcp is loaded when a fixture is first used.
For that it is a package of its own: a module of ``routermcp`` is imported after all of that package.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from routermcp import RouterMCPClient, SyncRouterMCPClient
    from routermcp.testing import FakeServer, Recording
    from routermcp.testing.recording import RecordMode

#: The folder of recordings, beside the file of the test.
FOLDER = "recordings"

#: Characters of the name of a recording: file systems allow 255 bytes.
MAX_NAME = 120

_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option of recordings."""
    parser.getgroup("routermcp").addoption(
        "--mcp-record",
        choices=("none", "new", "all"),
        default="none",
        help="when the fixture mcp_recording asks the server: none, never (default); new, where there "
        "is no recording; all, always",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Describe the marker of recordings."""
    config.addinivalue_line(
        "markers", "mcp_recording(strict=True, public=()): options of the fixture mcp_recording"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Connect the client of asynchronous tests in the test itself, in the loop of any plugin."""
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and "mcp_client" in item.fixturenames
            and inspect.iscoroutinefunction(item.obj)
        ):
            item.obj = _connected(item.obj)


def _connected(test: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(test)
    async def run(*args: Any, **fixtures: Any) -> Any:
        client = fixtures.get("mcp_client")
        if client is None:
            return await test(*args, **fixtures)
        async with client:
            return await test(*args, **fixtures)

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed, for its recording."""
    report = yield
    if call.when == "call":
        item.stash[_FAILED] = report.failed
    return report


@pytest.fixture
def mcp_server() -> FakeServer:
    """Return a server without tools; override this fixture to give it some."""
    from routermcp.testing import FakeServer  # noqa: PLC0415 - loaded on use

    return FakeServer()


@pytest.fixture
def mcp_client(mcp_server: FakeServer) -> RouterMCPClient:
    """Return a client of the server, which is connected while an asynchronous test runs."""
    from routermcp import RouterMCPClient  # noqa: PLC0415 - loaded on use

    return RouterMCPClient(transport=mcp_server)


@pytest.fixture
def sync_mcp_client(mcp_server: FakeServer) -> Iterator[SyncRouterMCPClient]:
    """Yield a client of the server for blocking code, connected."""
    from routermcp import SyncRouterMCPClient  # noqa: PLC0415 - loaded on use

    with SyncRouterMCPClient(transport=mcp_server) as client:
        yield client


@pytest.fixture
def mcp_recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """Yield the recording of the test; give it to a client as ``recording=``.

    A test that fails leaves no new recording behind, and is not asked whether it has made all calls.
    """
    from routermcp.testing import Recording  # noqa: PLC0415 - loaded on use

    item: pytest.Item = request.node
    marker = item.get_closest_marker("mcp_recording")
    path = recording_path(item)
    existed = path.exists()
    options: dict[str, Any] = dict(marker.kwargs) if marker is not None else {}
    mode: RecordMode = item.config.option.mcp_record
    recording = Recording(path, mode, **options)
    yield recording
    if not item.stash.get(_FAILED, True):
        recording.check_all_used()
    elif not existed:
        path.unlink(missing_ok=True)


def recording_path(item: pytest.Item) -> Path:
    """Return the file of a test's recording."""
    _, _, name = item.nodeid.partition("::")
    safe = re.sub(r"[^\w.-]+", "_", name).strip("_")
    if safe != name or len(safe) > MAX_NAME:  # other names may be written alike
        safe = f"{safe[:MAX_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return item.path.parent / FOLDER / item.path.stem / f"{safe}.jsonl"
