"""Clients of others, which list the tools of a server and call each.

Run with the interpreter of their environment::

    python gateway_client.py (mcp | fastmcp | langchain) MODE TARGET

where TARGET is a URL, or a program that is a server on stdio and its arguments, with a JSON object
of tools and their arguments on standard input; prints a JSON object of what came of each call: its
texts, or the class of the error.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def outcome(call: Any) -> str:
    """Return what came of a call, as a text."""
    try:
        result = await call
    except Exception as error:  # noqa: BLE001 - whatever it is, the test says
        return f"{type(error).__name__}: {error}"
    kinds = [getattr(item, "text", None) or item.type for item in result.content]
    return ("failed: " if result.is_error else "") + " ".join(kinds)


async def with_mcp(mode: str, target: list[str], calls: dict[str, Any]) -> dict[str, Any]:
    """Use the official client."""
    from mcp import Client, StdioServerParameters  # noqa: PLC0415 - in one environment only
    from mcp import types as t  # noqa: PLC0415

    async def elicit(context: Any, params: Any) -> Any:
        return t.ElicitResult(action="accept", content={"name": "Ada"})

    async def sample(context: Any, params: Any) -> Any:
        content = t.TextContent(type="text", text="sampled")
        return t.CreateMessageResult(role="assistant", content=content, model="m")

    async def roots(context: Any) -> Any:
        return t.ListRootsResult(roots=[t.Root(uri="file:///home")])

    server = target[0] if over_http(target) else StdioServerParameters(command=target[0], args=target[1:])
    callbacks = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
    async with Client(server, mode=mode, **callbacks) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        return {
            "tools": tools,
            "calls": {name: await outcome(client.call_tool(name, given)) for name, given in calls.items()},
        }


async def with_fastmcp(mode: str, target: list[str], calls: dict[str, Any]) -> dict[str, Any]:
    """Use the client of fastmcp."""
    from fastmcp import Client  # noqa: PLC0415 - in the other only
    from fastmcp.client.transports import StdioTransport  # noqa: PLC0415

    async def elicit(message: Any, kind: Any, params: Any, context: Any) -> Any:
        return {"name": "Ada"}

    async def sample(messages: Any, params: Any, context: Any) -> str:
        return "sampled"

    server = target[0] if over_http(target) else StdioTransport(target[0], target[1:])
    async with Client(
        server, mode=mode, elicitation_handler=elicit, sampling_handler=sample, roots=["file:///home"]
    ) as client:
        tools = [tool.name for tool in await client.list_tools()]
        return {
            "tools": tools,
            "calls": {
                name: await outcome(client.call_tool_mcp(name, given)) for name, given in calls.items()
            },
        }


async def with_langchain(mode: str, target: list[str], calls: dict[str, Any]) -> dict[str, Any]:
    """Use the tools that LangChain's adapter makes; it has one mode."""
    from langchain_mcp_adapters.client import MultiServerMCPClient  # noqa: PLC0415 - in a third only

    server = (
        {"transport": "streamable_http", "url": target[0]}
        if over_http(target)
        else {"transport": "stdio", "command": target[0], "args": target[1:]}
    )
    tools = {tool.name: tool for tool in await MultiServerMCPClient({"server": server}).get_tools()}
    return {
        "tools": list(tools),
        "calls": {
            name: " ".join(block["text"] for block in await tools[name].ainvoke(given))
            for name, given in calls.items()
        },
    }


def over_http(target: list[str]) -> bool:
    """Whether the target is a URL."""
    return target[0].startswith("http://")


if __name__ == "__main__":
    run = {"mcp": with_mcp, "fastmcp": with_fastmcp, "langchain": with_langchain}[sys.argv[1]]
    print(json.dumps(asyncio.run(run(sys.argv[2], sys.argv[3:], json.load(sys.stdin)))))
