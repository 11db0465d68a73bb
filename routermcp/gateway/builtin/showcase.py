"""The gateway that ``routermcp demo`` shows: built-in tools, and two servers of others.

``mcp-server-time`` and ``mcp-server-git`` come with the extra ``routermcp[demo]``; what is
not installed is left out.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ..._internal import ClientSettings
from ..aggregate import Aggregate
from ..backend import Backend
from ..config.model import GatewayConfig
from ..factory import application_of
from ..serving.in_process import MemoryTransport
from ..serving.uvicorn import serve_in_thread
from ..upstreams.availability import UpstreamState
from ..upstreams.targets import over_stdio, settings_for
from ..upstreams.upstream import Upstream
from .tools import BuiltinTools

#: Seconds that the servers may take to start: they are programs of Python, on a machine
#: that may have other things to do.
START_SECONDS = 20.0

#: Seconds between two polls of their states.
POLL_SECONDS = 0.02

#: Seconds for git to make a repository with one commit.
GIT_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Showcase:
    """A gateway that is running.

    Attributes:
        url: Where it is.
        repository: The throw-away repository that the server ``git`` looks at, None without it.
        missing: The servers that were left out, each with the reason.
    """

    url: str
    servers: tuple[str, ...]
    repository: str | None
    missing: tuple[str, ...]


@contextmanager
def showcase() -> Generator[Showcase]:
    """Serve the demonstration's gateway for as long as the block runs.

    Raises:
        ModuleNotFoundError: uvicorn is not installed.
        RuntimeError: It did not start.
    """
    with tempfile.TemporaryDirectory(prefix="routermcp-demo-") as folder:
        missing: list[str] = []
        upstreams = [Upstream("demo", in_process(BuiltinTools(), "the built-in tools"))]
        if _module_installed("mcp_server_time"):
            upstreams.append(Upstream("time", over_stdio([sys.executable, "-m", "mcp_server_time"])))
        else:
            missing.append("time: pip install 'routermcp[demo]'")
        repository = None
        if not _module_installed("mcp_server_git"):
            missing.append("git: pip install 'routermcp[demo]'")
        elif not _make_repository(folder):
            missing.append("git: the program git is not installed")
        else:
            repository = folder
            command = [sys.executable, "-m", "mcp_server_git", "--repository", folder]
            upstreams.append(Upstream("git", over_stdio(command)))
        with serve_in_thread(application_of(GatewayConfig(), Aggregate(upstreams))) as url:
            _wait_for_showcase_servers(upstreams)
            yield Showcase(url, tuple(each.alias for each in upstreams), repository, tuple(missing))


def _module_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _make_repository(folder: str) -> bool:
    """Make a repository with one commit, and say whether that could be done."""
    git = shutil.which("git")
    if git is None:
        return False
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    message = ["commit", "--quiet", "--allow-empty", "--message", "The first commit"]
    with contextlib.suppress(subprocess.SubprocessError, OSError):
        for arguments in (["init", "--quiet"], [*who, *message]):
            subprocess.run(  # noqa: S603 - arguments of ours
                [git, "-C", folder, *arguments], check=True, capture_output=True, timeout=GIT_SECONDS
            )
        return True
    return False


def _wait_for_showcase_servers(upstreams: list[Upstream]) -> None:
    """Wait until each server is ready or has failed: the demo does not measure their start."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if all(each.state in (UpstreamState.READY, UpstreamState.FAILED) for each in upstreams):
            return
        time.sleep(POLL_SECONDS)


def in_process(backend: Backend, name: str) -> ClientSettings:
    """Return the settings for a backend in the gateway's own event loop."""
    return settings_for(None, MemoryTransport(backend, name), protocol="auto")
