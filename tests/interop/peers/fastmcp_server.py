"""A server on ``fastmcp``: both eras on one URL, with the tools of ``mcp_server.py``.

Run with the interpreter of the peer's own environment: ``fastmcp_server.py PORT|stdio [json]``.
``json`` answers with JSON bodies where the default is event streams.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.dependencies import get_http_headers
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from pydantic import BaseModel

server = FastMCP(name="fastmcp-peer", instructions="The peer on fastmcp.")
executed: Counter[str] = Counter()
AMOUNT = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}


class User(BaseModel):
    id: str
    name: str
    email: str


@server.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    executed["add"] += 1
    return a + b


@server.tool
def echo(text: str) -> str:
    """Return the text."""
    executed["echo"] += 1
    return text


@server.tool
def boom() -> str:
    """Fail."""
    executed["boom"] += 1
    raise ToolError("boom")


@server.tool
async def slow(seconds: float) -> str:
    """Take some time."""
    executed["slow"] += 1
    await asyncio.sleep(seconds)
    return "done"


@server.tool
async def count(n: int, ctx: Context) -> int:
    """Report progress n times."""
    executed["count"] += 1
    for step in range(1, n + 1):
        await ctx.report_progress(step, n, f"step {step}")
    return n


@server.tool
def big(size: int) -> str:
    """Return a text of that many characters."""
    executed["big"] += 1
    return "x" * size


@server.tool
def get_user(key: str) -> User:
    """Return a structured result."""
    executed["get_user"] += 1
    return User(id=key, name="Ada", email="ada@example.com")


@server.tool
def whoami(ctx: Context) -> dict[str, str]:
    """Return the session id and the protocol version of this request."""
    executed["whoami"] += 1
    headers = get_http_headers(include_all=True)
    request = ctx.request_context
    version = request.protocol_version if request else ""
    return {"session": headers.get("mcp-session-id", ""), "version": version}


@server.tool
def executions(tool: str) -> int:
    """Return how often a tool ran since the server started."""
    return executed[tool]


@server.tool
async def ask(ctx: Context) -> str | InputRequiredResult:
    """Ask the user, in the way of the era."""
    request = ctx.request_context
    if request is None or request.protocol_version < "2026":
        executed["ask"] += 1
        reply = await ctx.elicit("How many?", response_type=int)
        return f"answered {reply.data}" if reply.action == "accept" else reply.action
    given = (ctx.input_responses or {}).get("amount")
    if not isinstance(given, ElicitResult):
        question = ElicitRequestFormParams(message="How many?", requested_schema=AMOUNT)
        return InputRequiredResult(input_requests={"amount": ElicitRequest(params=question)})
    executed["ask"] += 1
    return f"answered {(given.content or {})['value']}" if given.action == "accept" else given.action


@server.resource("peer://greeting")
def greeting() -> str:
    """Say hello."""
    return "hello"


@server.resource("peer://item/{key}")
def item(key: str) -> str:
    """Return one item."""
    return f"item {key}"


@server.prompt
def review(code: str) -> str:
    """Ask for a review."""
    return f"Review: {code}"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run(transport="stdio", show_banner=False)
        sys.exit()
    server.run(
        transport="http",
        host="127.0.0.1",
        port=int(sys.argv[1]),
        json_response="json" in sys.argv,
        show_banner=False,
    )
