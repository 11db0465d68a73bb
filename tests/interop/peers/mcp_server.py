"""A server on the official ``mcp`` package: both eras on one URL.

Run with the interpreter of the peer's own environment: ``mcp_server.py PORT|stdio [json|sse]``.
``json`` answers with JSON bodies where the default is event streams; ``sse`` speaks HTTP+SSE only.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from typing import Annotated

from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from pydantic import BaseModel

server = MCPServer("mcp-peer", instructions="The peer on the official package.")
executed: Counter[str] = Counter()


class User(BaseModel):
    id: str
    name: str
    email: str


class Amount(BaseModel):
    value: int


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    executed["add"] += 1
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Return the text."""
    executed["echo"] += 1
    return text


@server.tool()
def boom() -> str:
    """Fail."""
    executed["boom"] += 1
    raise ValueError("boom")


@server.tool()
async def slow(seconds: float) -> str:
    """Take some time."""
    executed["slow"] += 1
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
async def count(n: int, ctx: Context) -> int:
    """Report progress n times."""
    executed["count"] += 1
    for step in range(1, n + 1):
        await ctx.report_progress(step, n, f"step {step}")
    return n


@server.tool()
def big(size: int) -> str:
    """Return a text of that many characters."""
    executed["big"] += 1
    return "x" * size


@server.tool()
def get_user(key: str) -> User:
    """Return a structured result."""
    executed["get_user"] += 1
    return User(id=key, name="Ada", email="ada@example.com")


@server.tool()
def whoami(ctx: Context) -> dict[str, str]:
    """Return the session id and the protocol version of this request."""
    executed["whoami"] += 1
    headers = ctx.headers or {}
    return {"session": headers.get("mcp-session-id", ""), "version": ctx.protocol_version or ""}


@server.tool()
def executions(tool: str) -> int:
    """Return how often a tool ran since the server started."""
    return executed[tool]


def how_many() -> Elicit[Amount]:
    return Elicit("How many?", Amount)


@server.tool()
def ask(amount: Annotated[Amount, Resolve(how_many)]) -> str:
    """Ask the user, in the way of the era."""
    executed["ask"] += 1
    return f"answered {amount.value}"


@server.resource("peer://greeting")
def greeting() -> str:
    """Say hello."""
    return "hello"


@server.resource("peer://item/{key}")
def item(key: str) -> str:
    """Return one item."""
    return f"item {key}"


@server.prompt()
def review(code: str) -> str:
    """Ask for a review."""
    return f"Review: {code}"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run(transport="stdio")
        sys.exit()
    if "sse" in sys.argv:
        server.run(transport="sse", host="127.0.0.1", port=int(sys.argv[1]))
        sys.exit()
    server.run(
        transport="streamable-http",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        json_response="json" in sys.argv,
    )
