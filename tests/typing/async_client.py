"""What a type checker says of the asynchronous client. Never run."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

from pydantic import BaseModel

from routermcp import RouterMCPClient, RouterMCPSession
from routermcp.transports import http, stdio
from routermcp.types import (
    CompleteResult,
    CreateMessageRequest,
    CreateMessageResult,
    ElicitRequest,
    ElicitResult,
    GetPromptResult,
    InitializeResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    LogMessage,
    Progress,
    Prompt,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    RetryPolicy,
    Root,
    ServerCapabilities,
    Tool,
    ToolInputSchema,
    ToolResult,
)


class User(BaseModel):
    name: str


async def elicit(request: ElicitRequest) -> dict[str, Any] | None:
    return {"name": request.message} if request.requestedSchema else None


def elicit_plainly(request: ElicitRequest) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": request.message})


async def sample(request: CreateMessageRequest) -> CreateMessageResult:
    return CreateMessageResult(role="assistant", content={}, model=str(request.maxTokens))


async def roots() -> list[Root | str]:
    return ["file:///a", Root(uri="file:///b")]


def log(message: LogMessage) -> None:
    assert_type(message.level, str)


async def notify(method: str, params: Mapping[str, Any]) -> None: ...


async def progress(report: Progress) -> None:
    assert_type(report.progress, float)
    assert_type(report.total, float | None)


async def key() -> str:
    return "key"


async def headers() -> dict[str, str]:
    return {}


def constructors() -> None:
    RouterMCPClient()
    RouterMCPClient("http://127.0.0.1/mcp", "key", "user", 1000, {"X-A": "a"}, None, True)
    RouterMCPClient(url=None, api_key=None, user_id=None, timeout=None, headers=None, oauth=None, debug=None)
    RouterMCPClient(api_key=key, headers=headers)
    RouterMCPClient(api_key=lambda: "key", headers=lambda: {"X-A": "a"})
    RouterMCPClient(on_elicitation=elicit, on_sampling=sample, on_roots=roots, on_log=log)
    RouterMCPClient(on_elicitation=elicit_plainly, on_notification=notify)
    RouterMCPClient(on_elicitation=lambda request: None, on_roots=lambda: ["file:///a"], on_log=print)
    RouterMCPClient(verify=False, retry=RetryPolicy(attempts=1), protocol="2025-11-25")
    RouterMCPClient(verify=ssl.create_default_context())
    RouterMCPClient(transport=http("https://a/mcp", verify=False, proxy="", limits=None, cert="c"))
    RouterMCPClient(transport=stdio(["server"]))
    RouterMCPClient(verify=Path("ca.pem"), client_info={"name": "a", "version": "1"})


async def lifecycle(client: RouterMCPClient) -> None:
    assert_type(await client.connect(), InitializeResult)
    assert_type(await client.connect(timeout=5), InitializeResult)
    assert_type(await client.disconnect(), None)
    async with client as entered:
        assert_type(entered, RouterMCPClient)
    session = client.create_session(user_id="ada")
    assert_type(session, RouterMCPSession)
    async with session as entered_session:
        assert_type(entered_session, RouterMCPSession)
    assert_type(client.user_id, str | None)
    assert_type(client.server, InitializeResult | None)


async def results(client: RouterMCPClient | RouterMCPSession) -> None:
    capabilities = await client.connect()
    assert_type(capabilities.protocolVersion, str)
    assert_type(capabilities.capabilities, ServerCapabilities)
    assert_type(capabilities.serverInfo.name, str)
    assert_type(capabilities.instructions, str | None)

    assert_type(await client.list_tools(), list[Tool])
    assert_type(await client.list_tools_page("cursor"), ListToolsResult)
    assert_type(await client.list_resources(), list[Resource])
    assert_type(await client.list_resources_page(), ListResourcesResult)
    assert_type(await client.list_resource_templates(), list[ResourceTemplate])
    assert_type(await client.list_resource_templates_page(), ListResourceTemplatesResult)
    assert_type(await client.list_prompts(), list[Prompt])
    assert_type(await client.list_prompts_page(), ListPromptsResult)
    assert_type(await client.read_resource("a:b"), ReadResourceResult)
    assert_type(await client.get_prompt("p", {"a": "b"}), GetPromptResult)
    assert_type(
        await client.complete({"type": "ref/prompt", "name": "p"}, {"name": "a", "value": ""}), CompleteResult
    )
    assert_type(await client.ping(), None)


async def tools(client: RouterMCPClient) -> None:
    for tool in await client.list_tools():
        assert_type(tool.name, str)
        assert_type(tool.description, str | None)
        assert_type(tool.inputSchema, ToolInputSchema)
        assert_type(tool.inputSchema.type, str)
        assert_type(tool.inputSchema.properties, dict[str, Any])
        assert_type(tool.inputSchema.required, list[str])

    result = await client.call_tool("add", {"a": 1}, timeout=5, headers={}, meta={}, retry=True)
    assert_type(result, ToolResult)
    assert_type(result.content, list[dict[str, Any]])
    assert_type(result.isError, bool)
    assert_type(result.text, str)
    await client.call_tool("add", on_progress=progress)
    await client.call_tool("add", None, on_progress=print)

    assert_type(await client.call_tool_typed("get_user", {"id": "1"}, User), User)
    assert_type(await client.call_tool_typed("get_user", None, model=dict[str, int]), dict[str, int])
    assert_type(await client.call_tool_typed("get_user", None, int, retry=True), int)
