"""Servers of others as child processes, in both eras, on each runtime."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from routermcp import RouterMCPClient
from routermcp.transports import stdio
from routermcp.types import ElicitRequest, Progress
from tests.interop.peers.processes import KINDS, Kind
from tests.third_party import UnavailableError, skips_are_failures
from tests.three_runtimes import abandon, gather, make_client, run

pytestmark = pytest.mark.interop

Body = Callable[[RouterMCPClient], Coroutine[Any, Any, None]]


@pytest.fixture(
    params=[kind for kind in KINDS if not kind.options and not kind.legacy], ids=lambda kind: kind.name
)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def play(kind: Kind, protocol: str, runtime: str) -> Callable[..., None]:
    """Run a body with a client of the child."""
    try:
        command = kind.command()
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))
    if command[-1] == "streamableHttp":
        command = command[:-1]

    def play(body: Body, **settings: Any) -> None:
        async def connected() -> None:
            server = stdio([*command, "stdio"])
            async with make_client(runtime, transport=server, protocol=protocol, **settings) as client:
                await body(client)

        run(runtime, connected)

    return play


def test_everything_that_is_called_over_http_too(
    kind: Kind, protocol: str, runtime: str, play: Callable[..., None]
) -> None:
    """One child for all of it, since starting one takes most of the time."""
    words = kind.words
    reports: list[float] = []

    def note(progress: Progress) -> None:
        reports.append(progress.progress)

    async def body(client: RouterMCPClient) -> None:
        assert client.server is not None
        stateless = protocol == "auto" and kind.stateless_era
        assert client.server.protocolVersion == ("2026-07-28" if stateless else "2025-11-25")
        assert words.add.name in [tool.name for tool in await client.list_tools()]
        assert words.add.answer in (await client.call_tool(words.add.name, words.add.arguments)).text
        assert (await client.call_tool(words.boom.name, words.boom.arguments)).isError
        assert words.typed_result == await client.call_tool_typed(
            words.typed.name, words.typed.arguments, type(words.typed_result)
        )
        progress = await client.call_tool(words.progress.name, words.progress.arguments, on_progress=note)
        assert words.progress.answer in progress.text
        assert reports == sorted(reports)
        assert len(reports) >= 4
        assert words.resource_text in str((await client.read_resource(words.resource)).contents)
        assert words.template in [t.uriTemplate for t in await client.list_resource_templates()]
        prompt = await client.get_prompt(words.prompt.name, words.prompt.arguments)
        assert words.prompt.answer in str(prompt.messages)

        def echo(number: int) -> Callable[[], Any]:
            async def call() -> str:
                return (await client.call_tool(words.echo, {words.echo_argument: f"<{number}>"})).text

            return call

        texts = await gather(runtime, [echo(number) for number in range(20)])
        assert all(f"<{number}>" in text for number, text in enumerate(texts))

        async def slow(**options: Any) -> Any:
            return await client.call_tool(words.slow.name, words.slow.arguments, **options)

        assert await abandon(runtime, 0.2, slow)
        assert words.add.answer in (await client.call_tool(words.add.name, words.add.arguments)).text
        await client.ping()

    play(body)


def test_input(kind: Kind, play: Callable[..., None]) -> None:
    words = kind.words

    async def body(client: RouterMCPClient) -> None:
        answer = await client.call_tool(words.ask.name, words.ask.arguments)
        assert words.ask.answer in answer.text + str(answer.content)

    def on_elicitation(request: ElicitRequest) -> dict[str, Any]:
        return words.ask_content

    play(body, on_elicitation=on_elicitation)
