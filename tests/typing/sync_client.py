"""What a type checker says of the blocking client. Never run."""

from __future__ import annotations

from typing import Any, assert_type

from pydantic import BaseModel

from routermcp import SyncRouterMCPClient, SyncRouterMCPSession
from routermcp.transports import http
from routermcp.types import (
    CompleteResult,
    ElicitRequest,
    GetPromptResult,
    InitializeResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    Tool,
    ToolResult,
)


class User(BaseModel):
    name: str


def elicit(request: ElicitRequest) -> dict[str, Any] | None:
    return {"name": request.message}


def constructors() -> None:
    SyncRouterMCPClient(transport=http("https://a/mcp", verify=False, proxy="", limits=None, cert="c"))
    SyncRouterMCPClient()
    SyncRouterMCPClient("http://127.0.0.1/mcp", "key", "user", 1000, {"X-A": "a"}, None, True)
    SyncRouterMCPClient(api_key=lambda: "key", headers=lambda: {"X-A": "a"}, on_elicitation=elicit)


def lifecycle(client: SyncRouterMCPClient) -> None:
    assert_type(client.connect(), InitializeResult)
    assert_type(client.disconnect(), None)
    with client as entered:
        assert_type(entered, SyncRouterMCPClient)
    session = client.create_session("ada")
    assert_type(session, SyncRouterMCPSession)
    with session as entered_session:
        assert_type(entered_session, SyncRouterMCPSession)


def results(client: SyncRouterMCPClient | SyncRouterMCPSession) -> None:
    assert_type(client.list_tools(), list[Tool])
    assert_type(client.list_tools_page("cursor"), ListToolsResult)
    assert_type(client.list_resources(), list[Resource])
    assert_type(client.list_resources_page(), ListResourcesResult)
    assert_type(client.list_resource_templates(), list[ResourceTemplate])
    assert_type(client.list_resource_templates_page(), ListResourceTemplatesResult)
    assert_type(client.list_prompts(), list[Prompt])
    assert_type(client.list_prompts_page(), ListPromptsResult)
    assert_type(client.read_resource("a:b"), ReadResourceResult)
    assert_type(client.get_prompt("p", {"a": "b"}), GetPromptResult)
    assert_type(
        client.complete({"type": "ref/prompt", "name": "p"}, {"name": "a", "value": ""}), CompleteResult
    )
    assert_type(client.ping(), None)
    assert_type(client.call_tool("add", {"a": 1}, retry=True, on_progress=print), ToolResult)
    assert_type(client.call_tool_typed("get_user", {"id": "1"}, User), User)
    assert_type(client.call_tool_typed("get_user", None, list[str]), list[str])
    for item in client.call_tool("add").content:
        if item.get("type") == "text":
            print(item.get("text"))
