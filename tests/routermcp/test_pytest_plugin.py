"""The fixtures that pytest offers where routermcp is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from pytest_examples import find_examples

from tests.inner_pytest import run_pytest

pytest_plugins = ["pytester"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"

#: Asks for the plugin where the installation is older than its entry point.
PLUGIN = [] if metadata.entry_points(group="pytest11", name="routermcp") else ["-p", "routermcp_pytest"]

SERVER = """
    import pytest
    from routermcp.testing import FakeServer

    @pytest.fixture
    def mcp_server():
        server = FakeServer()

        @server.tool
        def add(a: int, b: int) -> int:
            return a + b

        @server.tool
        def forecast(city: str) -> dict:
            return {"degrees": 5}

        return server
"""

RECORDED = """
    import os
    from routermcp import SyncRouterMCPClient

    def test_sum(mcp_recording, mcp_server):
        with SyncRouterMCPClient(transport=mcp_server, recording=mcp_recording) as client:
            assert client.call_tool("add", {"a": 1, "b": int(os.environ.get("B", 2))}).text == "3"

    def test_fails(mcp_recording, mcp_server):
        with SyncRouterMCPClient(transport=mcp_server, recording=mcp_recording) as client:
            client.call_tool("add", {"a": 1, "b": 2})
        raise ZeroDivisionError
"""


def results(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return run_pytest(pytester, *PLUGIN, "-W", "error", *arguments)


def test_clients_are_connected_in_the_loop_of_any_plugin(pytester: pytest.Pytester) -> None:
    """Here that of anyio, on both runtimes; blocking tests have a client of their own."""
    weather, page = (
        each
        for each in find_examples(str(PAGE))
        if "def test_" in each.source and "Recording" not in each.source
    )
    pytester.makeconftest(SERVER)
    pytester.makepyfile(
        weather=weather.source,
        test_page=page.source,
        test_more="""
        import pytest

        class TestTools:
            @pytest.mark.anyio
            async def test_method(self, mcp_client):
                assert [tool.name for tool in await mcp_client.list_tools()] == ["add", "forecast"]

        def test_by_hand(mcp_client):
            import asyncio

            async def tools():
                async with mcp_client as client:
                    return await client.list_tools()

            assert len(asyncio.run(tools())) == 2
        """,
    )
    results(pytester, "weather.py", "test_page.py", "test_more.py").assert_outcomes(passed=7)


def test_a_recording_for_each_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made once, played then, and has to be played whole; a failed test leaves none."""
    pytester.makeconftest(SERVER)
    pytester.makepyfile(test_sums=RECORDED)
    recording = pytester.path / "recordings" / "test_sums" / "test_sum.jsonl"

    one = "test_sums.py::test_sum"
    results(pytester, one).stdout.fnmatch_lines(["*there is no recording*--mcp-record=new*"])
    results(pytester, "--mcp-record=new").assert_outcomes(passed=1, failed=1)
    assert [path.name for path in recording.parent.iterdir()] == ["test_sum.jsonl"]
    results(pytester, one).assert_outcomes(passed=1)

    monkeypatch.setenv("B", "3")
    results(pytester, one).stdout.fnmatch_lines(['*- *"b": 2', '*+ *"b": 3'])
    assert '"b": 2' in recording.read_text()


def test_options_of_a_recording_and_its_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(SERVER)
    pytester.makepyfile(
        test_sums="""
        import pytest
        from routermcp import SyncRouterMCPClient

        class TestSums:
            @pytest.mark.mcp_recording(strict=False)
            @pytest.mark.parametrize("city", ["São Paulo/SP", "São Paulo_SP"])
            def test_any_order(self, mcp_recording, mcp_server, city):
                order = [1, 2] if not mcp_recording.plays else [2, 1]
                with SyncRouterMCPClient(transport=mcp_server, recording=mcp_recording) as client:
                    for number in order:
                        client.call_tool("add", {"a": number, "b": 2})
        """
    )
    for _ in range(2):
        results(pytester, "--mcp-record=new", "--strict-markers").assert_outcomes(passed=2)
    names = [path.name for path in (pytester.path / "recordings" / "test_sums").iterdir()]
    assert len(names) == 2
    assert all(
        re.fullmatch(r"TestSums_test_any_order_S_xe3o_Paulo_SP-[0-9a-f]{8}\.jsonl", each) for each in names
    )


def test_nothing_is_loaded_before_a_fixture_is_used(tmp_path: Path) -> None:
    """pytest starts as quickly as without the plugin, in all projects of the environment."""
    program = (
        "import sys, routermcp_pytest;"
        "print([name for name in sys.modules if name.startswith(('routermcp', 'pydantic', 'httpx'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "['routermcp_pytest']"
