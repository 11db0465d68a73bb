"""The server of plain functions that tests of applications use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_examples import find_examples

from routermcp import ConfigError, RPCError, SyncRouterMCPClient, TransportError
from routermcp.testing import Ask, Delay, FakeCall, FakeServer, Report
from routermcp.testing.three_runtimes import RUNTIMES, make_client, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "testing.md"

both_eras = pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])

#: Milliseconds after which a call that hangs is given up here.
GUARD_MS = 20_000


@dataclass
class Weather:
    city: str
    degrees: float


def server_of_weather() -> FakeServer:
    server = FakeServer("weather")

    @server.tool
    def forecast(city: str, days: int = 1) -> Weather:
        """Say how it will be."""
        return Weather(city, 20.5 + days)

    @server.resource("weather://stations")
    def stations() -> list[str]:
        return ["north", "south"]

    @server.prompt
    def greeting(name: str) -> str:
        return f"Hello {name}"

    return server


@both_eras
def test_functions_are_tools_resources_and_prompts(protocol: str) -> None:
    server = server_of_weather()
    with SyncRouterMCPClient(transport=server, protocol=protocol) as client:
        (tool,) = client.list_tools()
        assert tool.description == "Say how it will be."
        assert tool.inputSchema.required == ["city"]
        result = client.call_tool("forecast", {"city": "Paris", "days": 2})
        assert result.structuredContent == {"city": "Paris", "degrees": 22.5}
        assert client.read_resource("weather://stations").contents[0].text == '["north","south"]'
        prompt = client.get_prompt("greeting", {"name": "Ada"})
        assert prompt.messages[0].content["text"] == "Hello Ada"
    assert server.calls == [
        FakeCall("tools/call", "forecast", {"city": "Paris", "days": 2}),
        FakeCall("resources/read", "weather://stations", {}),
        FakeCall("prompts/get", "greeting", {"name": "Ada"}),
    ]


@both_eras
def test_wrong_arguments_are_a_result_that_says_so(protocol: str) -> None:
    with SyncRouterMCPClient(transport=server_of_weather(), protocol=protocol) as client:
        result = client.call_tool("forecast", {"days": 1})
        assert result.isError
        assert "city" in result.text


@both_eras
def test_what_does_not_exist_is_refused(protocol: str) -> None:
    with (
        SyncRouterMCPClient(transport=server_of_weather(), protocol=protocol) as client,
        pytest.raises(RPCError, match="unknown tool: nothing"),
    ):
        client.call_tool("nothing")


@both_eras
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_tool_reports_asks_and_waits(runtime: str, protocol: str) -> None:
    server = FakeServer()

    @server.tool
    def book(hotel: str) -> Iterator[Any]:
        yield Report(1, total=2, message="looking")
        yield Delay(1)
        answer = yield Ask(
            "elicitation/create",
            {"message": f"Book {hotel}?", "requestedSchema": {"type": "object", "properties": {}}},
        )
        return f"{hotel}: {answer['action']}"

    async def body() -> None:
        heard: list[str | None] = []
        asked: list[str] = []

        def answer(request: Any) -> dict[str, Any]:
            asked.append(request.message)
            return {"action": "accept", "content": {}}

        async with make_client(
            runtime, transport=server, protocol=protocol, on_elicitation=answer, timeout=GUARD_MS
        ) as client:
            result = await client.call_tool(
                "book", {"hotel": "Ritz"}, on_progress=lambda progress: heard.append(progress.message)
            )
            assert result.text == "Ritz: accept"
        assert heard == ["looking"]
        assert asked == ["Book Ritz?"]

    run(runtime, body)


@both_eras
def test_a_call_fails_as_often_as_it_is_told_to(protocol: str) -> None:
    server = server_of_weather()
    server.fail("forecast", RPCError("too hot", code=-32050))
    with SyncRouterMCPClient(transport=server, protocol=protocol) as client:
        with pytest.raises(RPCError, match="too hot"):
            client.call_tool("forecast", {"city": "Rome"})
        assert client.call_tool("forecast", {"city": "Rome"}).structuredContent is not None


@both_eras
def test_a_connection_breaks_when_it_is_told_to(protocol: str) -> None:
    server = server_of_weather()
    server.fail("forecast", ConnectionResetError("cut"))
    with SyncRouterMCPClient(transport=server, protocol=protocol) as client:
        with pytest.raises(TransportError):
            client.call_tool("forecast", {"city": "Rome"})
        assert client.call_tool("forecast", {"city": "Rome"}).structuredContent is not None


@both_eras
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_slow_tool_is_given_up(runtime: str, protocol: str) -> None:
    server = server_of_weather()
    server.delay("forecast", 10 * GUARD_MS)

    async def body() -> None:
        async with make_client(runtime, transport=server, protocol=protocol) as client:
            with pytest.raises(TransportError, match="50 ms"):
                await client.call_tool("forecast", {"city": "Rome"}, timeout=50)
            server.delay("forecast", 0)
            assert (await client.call_tool("forecast", {"city": "Rome"})).isError is False

    run(runtime, body)


@both_eras
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_clients_hear_of_a_new_tool(runtime: str, protocol: str) -> None:
    server = server_of_weather()

    async def body() -> None:
        heard: list[str] = []
        async with make_client(
            runtime,
            transport=server,
            protocol=protocol,
            on_notification=lambda method, params: heard.append(method),
        ) as client:
            await client.list_tools()

            @server.tool
            def tide() -> str:
                return "low"

            assert (await client.call_tool("tide")).text == "low"
        assert "notifications/tools/list_changed" in heard

    run(runtime, body)


def test_names_that_python_cannot_have() -> None:
    server = FakeServer()

    @server.tool(name="github.create_issue")
    def create(title: str) -> str:
        return title

    @server.tool()
    def close() -> None:
        pass

    @server.prompt(name="git-log")
    def log() -> str:
        return "Read it"

    with SyncRouterMCPClient(transport=server) as client:
        assert [tool.name for tool in client.list_tools()] == ["github.create_issue", "close"]
        assert client.call_tool("github.create_issue", {"title": "Bug"}).text == "Bug"
        assert client.get_prompt("git-log").messages[0].content["text"] == "Read it"


def test_mistakes_are_told_where_they_are_made() -> None:
    server = FakeServer()

    async def later() -> None: ...

    with pytest.raises(TypeError, match="later is asynchronous, and a FakeServer runs plain functions"):
        server.tool(later)
    with pytest.raises(TypeError, match="a resource has a URI"):
        server.resource(lambda: "text")
    with pytest.raises(ConfigError, match=r"recording is a routermcp.testing.Recording\(path\), not str"):
        SyncRouterMCPClient(transport=server, recording="weather.jsonl")


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        ("stations", ""),
        ("out of order", "paid\n"),
        ("looking for a room", "booked\n"),
        ("weather.jsonl", '-   "city": "Paris"\n+   "city": "Oslo"\n   },\n   "name": "forecast"\n  }\n'),
    ],
)
def test_the_examples_of_the_page_run(words: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = [each for each in find_examples(str(PAGE)) if words in each.source]
    exec(compile(example.source, str(PAGE), "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.endswith(printed)
