"""Each row of the fault table, on each runtime: one outcome, in time, and nothing left behind."""

from __future__ import annotations

import gc
import os
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from routermcp.types import MCPError, RetryPolicy, TransportError
from tests.certificates import Authority
from tests.faults.rows import ROWS, TIMEOUT, Row, circle, closed_port
from tests.routermcp.server import ScriptedServer
from tests.three_runtimes import RUNTIMES, SLACK_SECONDS, make_client, run

#: Seconds for a row that sends hundreds of megabytes, which somebody has to read.
SLOW_ROW = 20.0

PATIENCE = 10.0


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


def outcome_of(error: MCPError) -> str:
    return error.code if isinstance(error, TransportError) else type(error).__name__


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, runtime: str) -> None:
    with ScriptedServer() as server:
        server.script("tools/call", row.action)

        async def body() -> float:
            client = make_client(runtime, url=server.url, retry=RetryPolicy(attempts=1), timeout=20_000)
            async with client:
                began = time.monotonic()
                await expect(client, row)
                took = time.monotonic() - began
                assert server.executed["tools/call:echo"] == row.executed
                if row.hangs_up:
                    server.wait_for("hung up")
                assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
                if runtime != "blocking":
                    stats = client.stats()
                    assert (stats.in_use, stats.waiting) == (0, 0)
            return took

        took = run(runtime, body)
        if row.silent:
            assert TIMEOUT / 1000 - 0.01 < took < TIMEOUT / 1000 + SLACK_SECONDS
        else:
            assert took < SLOW_ROW


async def expect(client: Any, row: Row) -> None:
    options = {"timeout": TIMEOUT} if row.silent else {}
    if not row.code:
        assert not (await client.call_tool("echo", {"text": "x"}, **options)).isError
        return
    with pytest.raises(MCPError) as caught:
        await client.call_tool("echo", {"text": "x"}, **options)
    error = caught.value
    assert outcome_of(error) == row.code, f"{row.name}: {error}"
    assert row.words in str(error)
    assert getattr(error, "status_code", None) == row.status
    if row.retry_after is not None:
        assert error.retry_after == pytest.approx(row.retry_after, abs=2)  # pyright: ignore


def test_a_refused_connection(runtime: str) -> None:
    async def body() -> TransportError:
        client = make_client(
            runtime, url=f"http://127.0.0.1:{closed_port()}/mcp", retry=RetryPolicy(attempts=1)
        )
        with pytest.raises(TransportError, match="nothing listens there") as caught:
            await client.connect()
        return caught.value

    error = run(runtime, body)
    assert (error.code, error.not_run) == ("connect", True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize(
    ("name", "names", "days", "trusted", "words"),
    [
        ("expired", "IP:127.0.0.1", 0, True, "expired"),
        ("other", "DNS:other.example", 2, True, "mismatch"),
        ("unknown", "IP:127.0.0.1", 2, False, "verify='/path/to/ca.pem'"),
    ],
)
def test_a_certificate_that_does_not_fit(
    name: str, names: str, days: int, trusted: bool, words: str, authority: Authority, runtime: str
) -> None:
    certificate, key = authority.issue(name, names, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ScriptedServer(tls=context) as server:
        settings: dict[str, Any] = {"verify": authority.trusted} if trusted else {}

        async def body() -> TransportError:
            client = make_client(runtime, url=server.url, retry=RetryPolicy(attempts=1), **settings)
            with pytest.raises(TransportError) as caught:
                await client.connect()
            return caught.value

        error = run(runtime, body)
        assert (error.code, error.not_run) == ("tls", True)
        assert words in str(error)
        assert server.seen == []


def test_redirects_in_circles(runtime: str) -> None:
    with ScriptedServer() as server:
        server.script("tools/call", *[circle] * 50)

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                with pytest.raises(TransportError, match="circles") as caught:
                    await client.call_tool("echo")
                assert caught.value.code == "redirect"

        run(runtime, body)
        assert len(server.requests("tools/call")) < 20


def test_a_connection_that_was_closed_between_two_calls(runtime: str) -> None:
    with ScriptedServer() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, retry=RetryPolicy(attempts=1)) as client:
                for number in range(5):
                    assert (await client.call_tool("add", {"a": number, "b": 0})).text == str(number)
                    server.close_connections()

        run(runtime, body)
        assert server.executed["tools/call:add"] == 5


def test_nothing_is_left_behind_by_any_row(runtime: str) -> None:
    # A reset after the answer may meet the next request on its way; that is a row of its own.
    left_out = ("without end", "answers and resets")
    rows = [row for row in ROWS if not row.silent and not any(words in row.name for words in left_out)]

    def all_rows() -> None:
        with ScriptedServer() as server:

            async def body() -> None:
                client = make_client(runtime, url=server.url, retry=RetryPolicy(attempts=1))
                async with client:
                    for row in rows:
                        server.script("tools/call", row.action)
                        await expect(client, row)

            run(runtime, body)

    all_rows()
    before = descriptors(), threading.active_count()
    all_rows()
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and (descriptors() > before[0] or threading.active_count() > before[1]):
        time.sleep(0.02)
    assert descriptors() <= before[0]
    assert threading.active_count() <= before[1]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("sends a line without end", 64),
        ("sends a body without end", 64),
        ("sends an error page without end", 1),
        ("sends a nesting bomb", 1),
        ("sends 1 MB of headers", 1),
    ],
)
def test_memory_stays_within_the_limits(name: str, limit: int, runtime: str) -> None:
    """The named limit of what is read, in MiB, and 32 MB for what it takes to read it."""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.memory", name, runtime],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "adapters")])},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert float(done.stdout) < limit + 32
