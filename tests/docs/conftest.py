"""The server that the pages of the tutorial call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from routermcp.gateway import BuiltinTools, serve_in_thread
from routermcp.gateway.builtin.showcase import in_process
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import application_of
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.upstream import Upstream


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The origin of what ``routermcp proxy --stdio "python -m routermcp.gateway.builtin"`` serves.

    The same, with the tools in this process: to start two programs takes a second.
    """
    tools = in_process(BuiltinTools(), "the built-in tools")
    backend = SingleServer(Upstream("server", tools, names=ServerNaming("server"), tells_reason=True))
    with serve_in_thread(application_of(GatewayConfig(), backend, path="/mcp")) as url:
        yield url.removesuffix("/mcp")
