"""The internal API of the client, as the gateway uses it to speak to a server."""

from __future__ import annotations

import sys

import pytest

from routermcp._internal import Callbacks, Options, driver_of, resolve, transport_of
from routermcp.transports import stdio
from routermcp.types import ConfigError
from routermcp_adapters.call.driver import CallOptions
from routermcp_adapters.runtimes.auto import blocking
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto import calls
from tests.routermcp.server import ScriptedServer

TIMEOUT_MS = 30_000


def test_sessions_over_one_transport(any_server: ScriptedServer) -> None:
    settings = resolve(Options(url=any_server.url, api_key="key"), environment={})
    transport = transport_of(settings)
    assert transport is not None
    for user_id in ("ada", "grace"):
        driver = driver_of(settings.for_user(user_id), Callbacks(), transport)
        run_sync(driver.connect(blocking(), TIMEOUT_MS))
        tools = run_sync(driver.call(calls.list_tools(), CallOptions(TIMEOUT_MS)))
        assert tools.tools
        run_sync(driver.disconnect())
    assert {seen.headers["authorization"] for seen in any_server.seen} == {"Bearer key"}
    assert transport.stats().open == 0


def test_each_session_over_a_stream_has_its_own() -> None:
    server = stdio([sys.executable, "-m", "routermcp.testing.contract_server"])
    settings = resolve(Options(transport=server), environment={})
    assert transport_of(settings) is None
    driver = driver_of(settings, Callbacks(), None)
    run_sync(driver.connect(blocking(), TIMEOUT_MS))
    assert driver.server is not None
    assert driver.server.serverInfo.name == "contract"
    run_sync(driver.disconnect())


def test_an_environment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are for clients: a server behind the gateway is not given the gateway's key."""
    monkeypatch.setenv("ROUTERMCP_URL", "http://127.0.0.1:9/mcp")
    monkeypatch.setenv("ROUTERMCP_API_KEY", "key of the gateway")
    assert resolve(Options(url="http://127.0.0.1:9/mcp"), environment={}).api_key is None
    with pytest.raises(ConfigError, match="no server URL"):
        resolve(Options(), environment={})
