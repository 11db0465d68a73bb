"""A tool has run, and a client of httpx fails: by an end of HTTP/2 (GOAWAY), a broken connection, a limit."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from routermcp import RetryPolicy, SyncRouterMCPClient
from routermcp.types import TransportError
from tests.routermcp.server import CAPABILITIES, SERVER_INFO, STATELESS

DISCOVERED: dict[str, Any] = {
    "resultType": "complete",
    "supportedVersions": [STATELESS],
    "capabilities": CAPABILITIES,
    "serverInfo": SERVER_INFO,
}

GOAWAY = "<ConnectionTerminated error_code:0, last_stream_id:{}, additional_data:None>"

FAILURES = [
    httpx.RemoteProtocolError(GOAWAY.format(1)),
    httpx.RemoteProtocolError(GOAWAY.format(0)),
    httpx.RemoteProtocolError("<StreamReset stream_id:3, error_code:7, remote_reset:True>"),
    httpx.RemoteProtocolError("Server disconnected without sending a response."),
    httpx.ReadError("broken"),
    httpx.WriteError("broken"),
    httpx.CloseError("broken"),
    httpx.WriteTimeout("slow"),
    httpx.LocalProtocolError("out of step"),
    httpx.DecodingError("no gzip"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_a_tool_that_may_have_run_is_not_run_again(failure: Exception) -> None:
    ran: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        message = json.loads(request.content)
        if message["method"] == "tools/call":
            ran.append(message["params"]["name"])
            raise failure
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": message["id"], "result": DISCOVERED})

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        SyncRouterMCPClient(
            "http://127.0.0.1:9/mcp", http_client=http, retry=RetryPolicy(attempts=5, backoff=0)
        ) as client,
        pytest.raises(TransportError) as caught,
    ):
        client.call_tool("send")
    assert ran == ["send"]
    assert not caught.value.not_run
