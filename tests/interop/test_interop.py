"""One list of tests against servers written by others, in both eras, on three runtimes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from routermcp import RPCError
from tests.interop.peers.processes import KINDS
from tests.three_runtimes import abandon, gather

if TYPE_CHECKING:
    from routermcp import RouterMCPClient, RouterMCPSession
    from routermcp.types import ElicitRequest
    from tests.interop.conftest import Trial
    from tests.interop.peers.processes import Use

pytestmark = pytest.mark.interop

#: Characters of a result that is far larger than any buffer on its way.
LARGE = 2 * 1024 * 1024
#: Calls at once.
MANY = 50
#: Seconds after which a call is given up that would take twenty.
PATIENCE = 0.3

only = {
    "own": pytest.mark.parametrize(
        "peer",
        [kind for kind in KINDS if kind.words.own and not kind.legacy],
        indirect=True,
        ids=lambda kind: kind.name,
    ),
    "streaming": pytest.mark.parametrize(
        "peer", [kind for kind in KINDS if kind.streams], indirect=True, ids=lambda kind: kind.name
    ),
    "handshake": pytest.mark.parametrize("protocol", ["2025-11-25"]),
}


def text(result: Any) -> str:
    """Return the text items of a tool's result."""
    return "\n".join(item["text"] for item in result.content if item["type"] == "text")


async def use(client: RouterMCPClient, call: Use, **named: Any) -> str:
    """Make a call that has to succeed and to answer what is expected."""
    result = await client.call_tool(call.name, call.arguments, **named)
    assert not result.isError
    assert call.answer in text(result)
    return text(result)


async def executions(client: RouterMCPClient, tool: str) -> int:
    return int(text(await client.call_tool("executions", {"tool": tool})))


async def session_id(client: RouterMCPClient | RouterMCPSession) -> str:
    return json.loads(text(await client.call_tool("whoami", {})))["session"]


def test_the_revision_is_found(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        found = await client.connect()

        assert found.protocolVersion == trial.revision
        assert found.capabilities.tools is not None

    trial.play(body)


def test_tools_are_listed(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        tools = {tool.name: tool for tool in await client.list_tools()}

        assert set(tools[trial.words.add.name].inputSchema.properties) == {"a", "b"}

    trial.play(body)


def test_resources_are_listed_and_read(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        listed = await client.list_resources()
        assert listed

        first = await client.read_resource(listed[0].uri)
        assert first.contents
        known = await client.read_resource(trial.words.resource)
        assert trial.words.resource_text in known.model_dump_json()

    trial.play(body)


def test_resource_templates_are_listed(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        templates = await client.list_resource_templates()

        assert trial.words.template in [template.uriTemplate for template in templates]

    trial.play(body)


def test_a_resource_that_is_not_there_is_an_error_of_the_server(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        with pytest.raises(RPCError):
            await client.read_resource("nowhere://nothing")

    trial.play(body)


def test_prompts_are_listed_and_rendered(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        prompt = trial.words.prompt
        assert prompt.name in [listed.name for listed in await client.list_prompts()]

        rendered = await client.get_prompt(prompt.name, prompt.arguments)
        assert prompt.answer in rendered.model_dump_json()

    trial.play(body)


def test_a_tool_is_called(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        await use(client, trial.words.add)

    trial.play(body)


def test_a_tool_that_fails_returns_its_failure(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        boom = trial.words.boom
        result = await client.call_tool(boom.name, boom.arguments)

        assert result.isError
        assert boom.answer in text(result)

    trial.play(body)


def test_a_typed_call_gives_the_model(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        expected = trial.words.typed_result
        typed = trial.words.typed

        assert await client.call_tool_typed(typed.name, typed.arguments, type(expected)) == expected

    trial.play(body)


@only["streaming"]
def test_progress_is_reported_in_order(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        reports: list[Any] = []
        await use(client, trial.words.progress, on_progress=reports.append)

        assert [report.progress for report in reports] == [1, 2, 3, 4, 5]
        assert {report.total for report in reports} == {5}

    trial.play(body)


def test_a_question_of_the_server_is_answered(trial: Trial) -> None:
    if trial.revision == "2025-11-25" and not trial.peer.kind.streams:
        # A handshake server that answers in JSON bodies has no way to ask; the call still ends.
        return

    async def body(client: RouterMCPClient) -> None:
        await use(client, trial.words.ask)

    def answer(_request: ElicitRequest) -> dict[str, Any]:
        return trial.words.ask_content

    trial.play(body, on_elicitation=answer)


def test_a_large_text_goes_there_and_back(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        large = "x" * LARGE
        result = await client.call_tool(trial.words.echo, {trial.words.echo_argument: large})

        assert text(result).endswith(large)

    trial.play(body)


def test_many_calls_at_once_get_their_own_answers(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        async def echo(index: int) -> str:
            sent = f"call {index}."
            return text(await client.call_tool(trial.words.echo, {trial.words.echo_argument: sent}))

        answers = await gather(trial.runtime, [lambda index=index: echo(index) for index in range(MANY)])

        assert [answer.endswith(f"call {index}.") for index, answer in enumerate(answers)] == [True] * MANY

    trial.play(body)


def test_a_call_is_given_up_and_the_next_one_is_right(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        slow = trial.words.slow
        own = trial.words.own
        before = await executions(client, slow.name) if own else 0

        async def call(**named: Any) -> None:
            await client.call_tool(slow.name, slow.arguments, **named)

        assert await abandon(trial.runtime, PATIENCE, call)
        await use(client, trial.words.add)
        if own:
            assert await executions(client, slow.name) == before + 1

    trial.play(body)


@only["own"]
@only["handshake"]
def test_an_expired_session_is_opened_again(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        expired = await session_id(client)
        before = await executions(client, "add")
        headers = {"mcp-session-id": expired, "mcp-protocol-version": "2025-11-25"}
        assert httpx.delete(trial.peer.url, headers=headers).is_success

        await use(client, trial.words.add)

        assert await session_id(client) not in {"", expired}
        assert await executions(client, "add") == before + 1

    trial.play(body)


@only["own"]
@only["handshake"]
def test_each_user_has_a_session(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        user = client.create_session(user_id="user-1")
        await user.connect()
        other = await session_id(user)
        mine = await session_id(client)
        await user.disconnect()

        assert mine
        assert other
        assert mine != other
        await use(client, trial.words.add)

    trial.play(body)


@only["streaming"]
def test_a_restarted_server_is_used_again(trial: Trial) -> None:
    async def body(client: RouterMCPClient) -> None:
        await use(client, trial.words.add)
        await trial.restart()

        await use(client, trial.words.add)

    trial.play(body)
