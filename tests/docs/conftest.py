"""The server that the pages of the tutorial call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from routermcp.gateway import BuiltinTools, GatewayApp, serve_in_thread


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The origin of what a page has by ``routermcp proxy --stdio "python -m routermcp.gateway.builtin"``."""
    with serve_in_thread(GatewayApp(BuiltinTools())) as url:
        yield url.removesuffix("/mcp")
