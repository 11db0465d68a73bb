"""``routermcp demo``: the scenario on all runtimes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from routermcp.cli import main
from routermcp.cli.demo import command as demo
from routermcp.cli.demo.scenario import RuntimeReport, first_harmless
from routermcp.gateway import BuiltinTools, GatewayApp, serve_in_thread
from routermcp.types import Tool
from tests.cli.test_cli import execute

HEADINGS = ["runtime", "connect", "ms", "tools", "calls", "median", "ms", "p95", "ms", "errors"]

#: What the picture of the README shows.
RECORDING = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "demo.txt"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve_in_thread(GatewayApp(BuiltinTools())) as url:
        yield url


def table(output: str) -> dict[str, list[str]]:
    """Read the table below the heading: cells by runtime."""
    lines = [line.split() for line in output.splitlines()]
    start = lines.index(HEADINGS)
    return {cells[0]: cells[1:] for cells in lines[start + 2 :] if cells}


def without_times(output: str) -> list[list[str]]:
    """Return the words of each line, with every time as the same word."""
    return [re.sub(r"\d+\.\d+", "TIME", line).replace("─", "").split() for line in output.splitlines()]


def test_the_demo_runs_on_all_runtimes_and_can_be_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    done = execute("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "\r" not in done.stdout
    assert "a local gateway of demo, time, git; 20 timed calls" in done.stdout
    assert without_times(f"$ routermcp demo\n{done.stdout}") == without_times(RECORDING.read_text())
    rows = table(done.stdout)
    assert list(rows) == ["asyncio", "trio", "blocking"]
    for runtime, (connect, tools, calls, median, p95, errors) in rows.items():
        assert f"{runtime}: ok" in done.stdout
        assert (calls, errors) == ("26", "0")
        assert int(tools) > 5, "those of three servers, and the search"
        assert 0 < float(median) <= float(p95)
        assert float(connect) > 0


def test_a_server_of_yours_is_only_looked_at(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--url", url]) == 0
    rows = table(capsys.readouterr().out)
    # ask_name is the first that says it changes nothing and needs no arguments.
    assert [cells[1:3] for cells in rows.values()] == [["4", "1"]] * 3


def test_what_fails_is_named_and_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--url", "http://127.0.0.1:1/mcp"]) == 1
    out, err = capsys.readouterr()
    assert "asyncio: 1 failed" in out
    assert [line.split(": ")[1] for line in err.splitlines()] == ["asyncio", "trio", "blocking"]


def test_a_step_that_fails_does_not_end_the_scenario(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def add(*_: object) -> dict[str, object]:
        return {"content": [], "structuredContent": {"sum": 6}}

    async def read_resource(*_: object) -> dict[str, object]:
        raise ValueError

    monkeypatch.setattr(BuiltinTools, "call_tool", add)
    monkeypatch.setattr(BuiltinTools, "read_resource", read_resource)
    assert main(["demo"]) == 1
    out, err = capsys.readouterr()
    assert table(out)["trio"][-1] == "23"
    assert "trio: demo.add: the result is not the expected one" in err
    assert "blocking: read demo://readme: " in err


def test_trio_is_skipped_by_name_where_it_is_not_installed() -> None:
    done = execute("demo", blocked=("trio",))
    assert done.returncode == 0
    assert "trio: skipped, trio is not installed: pip install 'routermcp[trio]'" in done.stdout
    assert table(done.stdout)["trio"] == ["skipped"]


def test_servers_that_are_not_installed_are_left_out_by_name() -> None:
    done = execute("demo", blocked=("mcp_server_time", "mcp_server_git"))
    assert done.returncode == 0
    assert "a local gateway of demo;" in done.stdout
    assert "left out time: pip install 'routermcp[demo]'" in done.stdout
    assert {cells[2] for cells in table(done.stdout).values()} == {"24"}


def test_a_missing_server_is_named() -> None:
    done = execute("demo", blocked=("uvicorn",))
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'routermcp[cli,gateway]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_wrong_settings_end_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROUTERMCP_TIMEOUT", "soon")
    assert main(["demo"]) == 2
    assert "ROUTERMCP_TIMEOUT" in capsys.readouterr().err


def test_ctrl_c_ends_the_demo_with_130_and_its_server_with_it() -> None:
    source = """
import sys
from routermcp.cli import main
from routermcp.cli.demo import runtimes
def interrupted(*_):
    raise KeyboardInterrupt
runtimes.RUNNERS["trio"] = interrupted
sys.exit(main(["demo"]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        timeout=30,
        check=False,
        env=os.environ,
    )
    assert (done.returncode, done.stderr) == (130, b"")


def test_only_a_tool_that_says_so_is_harmless() -> None:
    safe = {"readOnlyHint": True}
    needy = Tool.model_validate({"name": "a", "annotations": safe, "inputSchema": {"required": ["x"]}})
    unknown = Tool(name="b")
    good = Tool.model_validate({"name": "c", "annotations": safe})
    assert first_harmless([needy, unknown, good]) is good
    assert first_harmless([needy, unknown]) is None


def test_a_row_of_one_call_has_its_time_twice() -> None:
    report = RuntimeReport("asyncio", connect_ms=1.5, tools=1, calls=1, latencies_ms=[2.0])
    assert demo.row_of(report) == ("asyncio", "1.50", "1", "1", "2.00", "2.00", "0")
