"""A served gateway, and a client that sends it single requests."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from routermcp.gateway import BuiltinTools, Caller, GatewayApp, serve_in_thread
from routermcp.gateway.http.project_gateway import ProjectGateway
from tests import loopback

HANDSHAKE = "2025-11-25"
BOTH = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "protocolVersion": HANDSHAKE,
    "capabilities": {"elicitation": {}},
    "clientInfo": {"name": "test", "version": "1"},
}

#: Seconds that anything here is waited for: many times what it takes.
PATIENCE = 10.0


class WaitingTools(BuiltinTools):
    """The built-in tools, one that says who is there, and two that wait."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.cancelled = threading.Event()

    async def call_tool(self, name: str, arguments: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        if name == "who":
            seen = {"user": caller.user_id, "session": caller.session_id}
            return {"content": [{"type": "text", "text": json.dumps(seen)}]}
        if name == "wait":
            self.begun.set()
            await asyncio.to_thread(self.go_on.wait, PATIENCE)
            return {"content": []}
        if name == "sleep":
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        return await super().call_tool(name, arguments, caller)


class Bench:
    """A gateway at a URL, and a plain HTTP client."""

    def __init__(self, url: str, tools: WaitingTools, http: httpx.Client) -> None:
        self.origin = url.removesuffix("/mcp")
        self.tools = tools
        self.http = http

    def url(self, path: str = "/v1/mcp/default") -> str:
        return self.origin + path

    def post(self, message: Any, path: str = "/v1/mcp/default", **headers: str) -> httpx.Response:
        sent = {**BOTH, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.http.post(self.url(path), json=message, headers=sent)

    def call(self, tool: str, path: str = "/v1/mcp/default", **headers: str) -> httpx.Response:
        return self.post(request("tools/call", {"name": tool, "arguments": {}}), path, **headers)

    def open(self, path: str = "/v1/mcp/default", **headers: str) -> str:
        """Open a session and return its id."""
        answer = self.post(request("initialize", INITIALIZE), path, **headers)
        assert answer.status_code == 200
        return answer.headers["mcp-session-id"]

    def who(self, **headers: str) -> dict[str, Any]:
        """Ask the tool who is there."""
        answer = self.call("who", **headers)
        assert answer.status_code == 200
        return json.loads(answer.json()["result"]["content"][0]["text"])


def request(method: str, params: Any = None, number: int = 7) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}


def error(answer: httpx.Response) -> tuple[int, int, Any]:
    """Return status, code and reason of a refusal, which has to carry the id of the request."""
    document = answer.json()
    assert document["id"] == 7
    found = document["error"]
    return answer.status_code, found["code"], found.get("data", {}).get("reason")


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["content-type"] == "text/event-stream"
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@contextmanager
def served_gateway(**settings: Any) -> Generator[Bench]:
    """Serve a gateway with these settings."""
    tools = WaitingTools()
    app = ProjectGateway(GatewayApp(tools), **settings)
    with (
        serve_in_thread(app) as url,
        loopback.Client(timeout=PATIENCE) as http,
    ):
        try:
            yield Bench(url, tools, http)
        finally:
            tools.go_on.set()
