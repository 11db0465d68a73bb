"""The examples of the API reference, each with the calls, names and attributes it shows."""

from __future__ import annotations

import importlib
import json

import pytest
from pydantic import BaseModel

import routermcp
import routermcp.types
from routermcp import RouterMCPClient, RouterMCPSession, SyncRouterMCPClient, SyncRouterMCPSession
from routermcp.oauth import memory_adapter
from routermcp.types import (
    ConfigError,
    InitializeResult,
    MCPError,
    OAuthConfig,
    OAuthError,
    Tool,
    ToolInputSchema,
    ToolResult,
    TransportError,
)
from tests.routermcp.server import HANDSHAKE, STATELESS, ScriptedServer
from tests.three_runtimes import make_client, run


class User(BaseModel):
    id: str
    name: str
    email: str


def test_constructor_takes_the_documented_arguments(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(
            runtime,
            url=any_server.url,
            api_key="key",
            user_id="admin",
            timeout=30000,
            headers={"X-Custom": "value"},
            oauth=None,
            debug=False,
        )
        async with client:
            await client.list_tools()

    run(runtime, body)
    (request,) = any_server.requests("tools/list")
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["x-custom"] == "value"


def test_arguments_may_be_given_by_position() -> None:
    for kind in (RouterMCPClient, SyncRouterMCPClient):
        kind("http://127.0.0.1/mcp", "key", "admin", 1000, {"X-Custom": "value"}, None, False)


def test_context_manager_connects_and_disconnects(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> list[Tool]:
        async with make_client(runtime, url=any_server.url) as client:
            tools = await client.list_tools()
        with pytest.raises(MCPError, match="not connected"):
            await client.list_tools()
        return tools

    assert [tool.name for tool in run(runtime, body)] == ["add", "echo"]
    assert len(any_server.requests("DELETE")) == (any_server.era == HANDSHAKE)


def test_connect_returns_what_the_server_can_do(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> InitializeResult:
        client = make_client(runtime, url=any_server.url)
        capabilities = await client.connect()
        await client.disconnect()
        return capabilities

    result = run(runtime, body)
    assert isinstance(result, InitializeResult)
    assert result.protocolVersion == any_server.era
    assert result.capabilities.tools is not None
    assert (result.serverInfo.name, result.serverInfo.version) == ("scripted", "1")
    assert result.instructions == "Be scripted."


def test_list_tools(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> list[Tool]:
        async with make_client(runtime, url=any_server.url) as client:
            return await client.list_tools()

    tools = run(runtime, body)
    assert [f"{tool.name}: {tool.description}" for tool in tools] == [
        "add: Adds two numbers",
        "echo: Gives back what it gets",
    ]
    assert all(isinstance(tool.inputSchema, ToolInputSchema) for tool in tools)
    assert tools[0].inputSchema.type == "object"
    assert tools[0].inputSchema.properties["a"] == {"type": "integer"}
    assert tools[0].inputSchema.required == ["a", "b"]
    assert (tools[1].inputSchema.properties, tools[1].inputSchema.required) == ({}, [])


def test_call_tool_and_its_content(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> ToolResult:
        async with make_client(runtime, url=any_server.url) as client:
            return await client.call_tool("tool_name", {"arg1": "value1", "arg2": 123})

    result = run(runtime, body)
    said = [item.get("text") for item in result.content if item.get("type") == "text"]
    assert [json.loads(str(words)) for words in said] == [{"arg1": "value1", "arg2": 123}]
    assert result.isError is False


def test_call_tool_typed(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> User:
        async with make_client(runtime, url=any_server.url) as client:
            return await client.call_tool_typed("get_user", {"id": "123"}, User)

    user = run(runtime, body)
    assert isinstance(user, User)
    assert user == User(id="123", name="Ada", email="ada@example.com")


def test_resources(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> tuple[list[str], object]:
        async with make_client(runtime, url=any_server.url) as client:
            resources = await client.list_resources()
            content = await client.read_resource("file:///path/to/file.txt")
            return [f"{resource.uri}: {resource.name}" for resource in resources], content.contents[0]

    listed, content = run(runtime, body)
    assert listed == ["file:///path/to/file.txt: file.txt"]
    assert getattr(content, "text") == "the text"  # noqa: B009 - whichever model it is


def test_prompts(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> tuple[list[str], object]:
        async with make_client(runtime, url=any_server.url) as client:
            prompts = await client.list_prompts()
            result = await client.get_prompt("summarize", {"text": "Long text to summarize..."})
            return [f"{prompt.name}: {prompt.description}" for prompt in prompts], result.messages[0].content

    listed, content = run(runtime, body)
    assert listed == ["summarize: Summarizes a text"]
    assert content == {"type": "text", "text": "Summarize: Long text to summarize..."}


def test_create_session(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url=any_server.url, send_user_id=True)
        session = client.create_session(user_id="user-456")
        await session.connect()
        await session.list_tools()
        await session.disconnect()

    run(runtime, body)
    (request,) = any_server.requests("tools/list")
    assert request.headers["x-routermcp-user-id"] == "user-456"


def test_create_session_gives_the_documented_classes(server: ScriptedServer) -> None:
    assert type(RouterMCPClient(url=server.url).create_session("u")) is RouterMCPSession
    assert type(SyncRouterMCPClient(url=server.url).create_session("u")) is SyncRouterMCPSession


def test_sessions_of_several_users(any_server: ScriptedServer, runtime: str) -> None:
    """The page's last example, but for where the tokens come from."""
    any_server.tools["gmail_send"] = any_server.tools["echo"]

    async def body() -> None:
        client = make_client(runtime, url=any_server.url, user_id="admin", send_user_id=True)
        await client.connect()
        user1_session = client.create_session(user_id="user-1")
        user2_session = client.create_session(user_id="user-2")
        await user1_session.connect()
        await user2_session.connect()
        await user1_session.call_tool("gmail_send", {"to": "a@example.com", "body": "Hi"})
        await user2_session.call_tool("gmail_send", {"to": "b@example.com", "body": "Hello"})
        await user1_session.disconnect()
        await user2_session.disconnect()
        await client.disconnect()

    run(runtime, body)
    sent = any_server.requests("tools/call")
    assert [(seen.params["arguments"]["to"], seen.headers["x-routermcp-user-id"]) for seen in sent] == [
        ("a@example.com", "user-1"),
        ("b@example.com", "user-2"),
    ]
    if any_server.era == HANDSHAKE:
        assert len({seen.headers["mcp-session-id"] for seen in sent}) == 2


def handled(error: MCPError) -> str:
    """Print an error as the page does."""
    try:
        raise error
    except TransportError as e:
        return f"Network error: {e} (code: {e.code})"
    except MCPError as e:
        return f"MCP error: {e}"


def test_error_handling(any_server: ScriptedServer, runtime: str) -> None:
    async def call(url: str) -> str:
        try:
            async with make_client(runtime, url=url, timeout=20_000) as client:
                await client.call_tool("unknown_tool", {})
        except MCPError as error:
            return handled(error)
        return "no error"

    said = run(runtime, call, any_server.url)
    assert said.startswith("MCP error: tools/call 'unknown_tool': Unknown tool")
    said = run(runtime, call, f"http://127.0.0.1:{any_server.port}/elsewhere")
    assert said.startswith("Network error: ")
    assert said.endswith("(code: http_404)")


def test_error_types_are_one_tree() -> None:
    assert issubclass(TransportError, MCPError)
    assert issubclass(ConfigError, MCPError)
    assert issubclass(OAuthError, MCPError)
    with pytest.raises(ConfigError):
        RouterMCPClient()


def test_oauth_needs_to_know_whose_tokens_it_keeps() -> None:
    with pytest.raises(ConfigError, match="single_user=True"):
        RouterMCPClient(url="http://127.0.0.1/mcp", oauth=OAuthConfig(adapter=memory_adapter()))


def test_oauth_needs_an_adapter() -> None:
    with pytest.raises(ConfigError, match="has a method get"):
        RouterMCPClient(url="http://127.0.0.1/mcp", user_id="u", oauth=OAuthConfig(adapter=None))


@pytest.mark.parametrize("module", ["routermcp", "routermcp.types"])
def test_everything_announced_can_be_imported(module: str) -> None:
    loaded = importlib.import_module(module)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []
    assert len(set(loaded.__all__)) == len(loaded.__all__)


def test_errors_are_the_same_in_both_places() -> None:
    for name in routermcp.types.__all__:
        if name.endswith("Error"):
            assert getattr(routermcp, name) is getattr(routermcp.types, name)


def test_both_eras_are_spoken(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url):
            pass

    run(runtime, body)
    expected = {
        STATELESS: ["server/discover"],
        HANDSHAKE: ["server/discover", "initialize", "notifications/initialized", "DELETE"],
    }
    assert any_server.methods() == expected[any_server.era]
