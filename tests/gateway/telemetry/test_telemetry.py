"""What operators see of each call: a line in the log, and figures for Prometheus."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.telemetry.call_log import MAX_LINES, CallLog
from routermcp.gateway.telemetry.metrics import GatewayMetrics
from routermcp.gateway.telemetry.records import CallOutcome, CallRecord
from routermcp.types import RPCError
from tests.gateway.gateways import PATIENCE, error, request, served_gateway
from tests.gateway.servers import Shop, gateway
from tests.three_runtimes import abandon_when, make_client, run

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
CALL = CallRecord("tools/call", "shop.saw", "ada", 0.0123, CallOutcome.OK, None)


# ---- what is recorded ---------------------------------------------------------------------------------


def test_each_request_to_a_server_is_recorded_once() -> None:
    shop = Shop(["saw", "refuse", "wait"])
    records: list[CallRecord] = []
    entries: list[tuple[str, str] | None] = []
    cancelled = threading.Event()

    def hear(record: CallRecord, arguments: Any) -> None:
        records.append(record)
        entries.append(aggregate.entry_of(record))
        if record.outcome is CallOutcome.CANCELLED:
            cancelled.set()

    async def body() -> None:
        async with make_client("asyncio", url=url) as client:
            await client.list_tools()
            await client.call_tool("shop.saw", {"secret": "of the user"})
            assert (await client.call_tool("shop.add", {"a": 1})).isError
            with pytest.raises(RPCError):
                await client.call_tool("shop.refuse")
            with pytest.raises(RPCError):
                await client.call_tool("made up")
            await client.get_prompt("shop.greet", {"name": "Ada"})
            await client.read_resource("demo://readme")
            await client.ping()
            assert await abandon_when(
                lambda: shop.ran["wait"], "asyncio", lambda: client.call_tool("shop.wait")
            )

    with gateway({"shop": shop}) as (url, aggregate):
        aggregate.call_listeners.append(hear)
        run("asyncio", body)
        assert cancelled.wait(PATIENCE)
    seen = [(record.method, record.subject, record.outcome.value) for record in records]
    assert seen == [
        ("tools/call", "shop.saw", "ok"),
        ("tools/call", "shop.add", "tool_error"),
        ("tools/call", "shop.refuse", "error"),
        ("tools/call", "made up", "error"),
        ("prompts/get", "shop.greet", "ok"),
        ("resources/read", "demo://readme", "ok"),
        ("tools/call", "shop.wait", "cancelled"),
    ]
    assert records[2].code == -32050
    assert all(record.seconds > 0 for record in records)
    assert "of the user" not in str(records)
    assert entries == [
        ("shop", "shop.saw"),
        ("shop", "shop.add"),
        ("shop", "shop.refuse"),
        None,
        ("shop", "shop.greet"),
        ("shop", "demo://readme"),
        ("shop", "shop.wait"),
    ]


# ---- the log --------------------------------------------------------------------------------------------


def lines_of(*records: CallRecord, as_json: bool = False) -> list[str]:
    written: list[str] = []

    async def body() -> None:
        log = CallLog(written.append, lambda _: "shop", as_json=as_json, clock=NOON.timestamp)
        for record in records:
            log.add(record)
        log.flush()

    asyncio.run(body())
    return "".join(written).splitlines()


def test_a_line_names_the_caller_the_tool_the_time_and_the_outcome() -> None:
    assert lines_of(CALL) == [
        "time=2026-11-30T12:00:00.000+00:00 method=tools/call subject=shop.saw server=shop user=ada "
        "milliseconds=12.3 outcome=ok"
    ]


def test_a_line_may_be_json() -> None:
    failed = CallRecord("tools/call", "x", None, 1.0, CallOutcome.ERROR, -32602)
    (line,) = lines_of(failed, as_json=True)
    assert json.loads(line) == {
        "time": "2026-11-30T12:00:00.000+00:00",
        "method": "tools/call",
        "subject": "x",
        "server": "shop",
        "user": None,
        "milliseconds": 1000.0,
        "outcome": "error",
        "code": -32602,
    }


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("words", ["a\nb", "\x1b[2J", "\u202egnp", "\r", "\x85", "\ud800", "\u2028"])
def test_one_call_is_one_line_whatever_a_client_writes(words: str, as_json: bool) -> None:
    hostile = CallRecord("tools/call", words, words, 1.0, CallOutcome.OK, None)
    (line,) = lines_of(hostile, as_json=as_json)
    assert line.isprintable()


@pytest.mark.parametrize("as_json", [False, True])
def test_arguments_are_written_where_that_is_asked_for(as_json: bool) -> None:
    written: list[str] = []

    async def body() -> None:
        for arguments in (False, True):
            log = CallLog(written.append, lambda _: None, as_json=as_json, arguments=arguments)
            log.add(CALL, {"text": "a\nb\x1b\u202e"})
            log.add(CALL, {"text": "x" * 1_000_000})
            log.flush()

    asyncio.run(body())
    without, with_arguments = ("".join(each).splitlines() for each in written)
    assert not any("arguments" in line for line in without)
    assert all(line.isprintable() and "arguments" in line for line in with_arguments)
    assert "a\\nb" in with_arguments[0].replace("\\\\", "\\")
    assert len(with_arguments[1]) < 3_000


def test_a_name_without_end_is_cut() -> None:
    (line,) = lines_of(CallRecord("resources/read", "x" * 100_000, None, 1.0, CallOutcome.OK, None))
    assert len(line) < 1_000


def test_no_more_lines_than_the_bound_are_kept() -> None:
    written: list[str] = []

    async def body() -> None:
        log = CallLog(written.append, lambda _: None)
        for _ in range(MAX_LINES):
            log.add(CALL)

    asyncio.run(body())
    assert len(written) == 1
    assert written[0].count("\n") == MAX_LINES


# ---- the metrics ---------------------------------------------------------------------------------------


def test_the_page_counts_calls_and_shows_the_servers() -> None:
    known = {"shop.saw": ("shop", "shop.saw")}
    metrics = GatewayMetrics(
        lambda record: known.get(record.subject), lambda: {"shop": "ready", "mill": "failed"}, lambda: 3
    )
    for record in (CALL, CALL, CallRecord("tools/call", "made up 1", None, 9.0, CallOutcome.ERROR, -32602)):
        metrics.add(record)
    page = metrics.page().decode()
    labels = 'method="tools/call",name="shop.saw",outcome="ok",server="shop"'
    assert f"routermcp_calls_total{{{labels}}} 2.0" in page
    assert 'routermcp_server_ready{server="mill"} 0.0' in page
    assert "routermcp_sessions 3.0" in page
    assert 'routermcp_call_seconds_bucket{le="0.02",method="tools/call",server="shop"} 2.0' in page
    assert "made up" not in page, "clients must not fill the memory with labels"


def test_the_page_is_for_those_who_have_access() -> None:
    with served_gateway(keys=[APIKey("rmc_1")], metrics=lambda: b"up 1\n") as bench:
        page = bench.url("/metrics")
        assert bench.http.get(page).status_code == 401
        answer = bench.http.get(page, headers={"Authorization": "Bearer rmc_1"})
        assert (answer.status_code, answer.text) == (200, "up 1\n")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert error(bench.post(request("ping"), "/metrics"))[0] == 405
    with served_gateway() as bench:
        assert bench.http.get(bench.url("/metrics")).status_code == 404


def test_health_says_why_a_server_failed() -> None:
    states = {"shop": "ready", "mill": "failed"}
    with served_gateway(upstreams=lambda: states, problems=lambda: {"mill": "no such command"}) as bench:
        upstreams = bench.http.get(bench.url("/health")).json()["upstreams"]
    assert upstreams == {
        "shop": {"state": "ready"},
        "mill": {"state": "failed", "problem": "no such command"},
    }
