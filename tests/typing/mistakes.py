"""Mistakes that a type checker has to find. Never run.

Each line says which report it expects; under strict checking, one that no longer comes is an
error itself (``reportUnnecessaryTypeIgnoreComment``).
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import routermcp.gateway
import routermcp.oauth
import routermcp.testing
import routermcp.types
import routermcp_proto.types
from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp.types import ElicitRequest


async def asynchronous(client: RouterMCPClient) -> None:
    RouterMCPClient(url=5)  # pyright: ignore[reportArgumentType]
    RouterMCPClient(timeout="30s")  # pyright: ignore[reportArgumentType]
    RouterMCPClient(timeout=1.5)  # pyright: ignore[reportArgumentType]
    RouterMCPClient(headers={"X-A": 1})  # pyright: ignore[reportArgumentType]
    RouterMCPClient("u", "k", "i", 1, {}, None, False, "auto")  # pyright: ignore[reportCallIssue]
    RouterMCPClient(no_such_setting=True)  # pyright: ignore[reportCallIssue]
    RouterMCPClient(on_elicitation=print_number)  # pyright: ignore[reportArgumentType]
    client.create_session()  # pyright: ignore[reportCallIssue]
    await client.call_tool()  # pyright: ignore[reportCallIssue]
    await client.call_tool("add", {"a": 1}, 5)  # pyright: ignore[reportCallIssue]
    await client.call_tool_typed("add", {"a": 1})  # pyright: ignore[reportCallIssue]
    await client.read_resource()  # pyright: ignore[reportCallIssue]
    client.list_tools()  # pyright: ignore[reportUnusedCoroutine]
    result = await client.call_tool("add")
    print(result.is_error)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    with client:  # pyright: ignore[reportGeneralTypeIssues]
        pass


async def blocking(client: SyncRouterMCPClient) -> None:
    await client.list_tools()  # pyright: ignore[reportGeneralTypeIssues]
    async with client:  # pyright: ignore[reportGeneralTypeIssues]
        pass


def print_number(request: ElicitRequest) -> int:
    return len(request.message)


def names() -> None:
    """Use names that modules do not have whose others are imported on first use."""
    print(routermcp.Nope)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    print(routermcp.gateway.Nope)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    print(routermcp.oauth.Nope)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    print(routermcp.testing.Nope)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    print(routermcp.types.Nope)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    print(routermcp_proto.types.Nope)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
