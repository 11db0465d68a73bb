"""Messages of a server about requests that were given up, on a stream that several clients share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any, cast

import pytest

from routermcp.gateway import Caller
from routermcp.gateway.upstreams import callbacks
from routermcp.gateway.upstreams.callbacks import MAX_GIVEN_UP, ForwardedRequest, UpstreamCallbacks
from routermcp.gateway.upstreams.session import UpstreamSession
from routermcp.gateway.upstreams.targets import over_stdio
from routermcp.types import MCPError
from routermcp_proto.calls import Call
from routermcp_proto.types import WireModel
from tests.gateway.servers import HANDSHAKE

PATIENCE_MS = 10_000

#: Answers no call of "first"; while it works on "second", it writes about the first.
SERVER = """
import json, sys
INFO = {"name": "a", "version": "1"}
def send(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params", {})
    if method == "initialize":
        result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": INFO}
        send(id=message["id"], result=result)
    elif method == "tools/call" and params["name"] == "second":
        send(method="notifications/message", params={"level": "error", "data": "of the first"})
        send(id=message["id"], result={"content": []})
"""


class Client:
    """A client of the gateway, which keeps what it is told."""

    meta: Mapping[str, Any] = {}
    capabilities: Mapping[str, Any] = {}
    log_level = None
    wants_progress = False
    user_id = None

    def __init__(self, owner: bytes, session_id: str | None = None) -> None:
        self.owner = owner
        self.session_id = session_id
        self.told: list[Any] = []

    async def log(self, level: str, content: Any, *, logger: str | None = None) -> None:
        self.told.append(content)

    async def ask(self, key: str, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        self.told.append(method)
        return {}

    @property
    def request(self) -> ForwardedRequest:
        return ForwardedRequest(cast("Caller", self))


def tool(name: str) -> Call[WireModel]:
    return Call("tools/call", {"name": name, "arguments": {}}, WireModel, safe=False)


@pytest.mark.parametrize(("other", "told"), [(b"hers", []), (b"his", ["of the first"])])
@pytest.mark.parametrize("ends", ["cancelled", "timeout"])
def test_what_is_about_a_request_that_was_given_up_reaches_no_other_client(
    other: bytes, told: list[str], ends: str
) -> None:
    async def body() -> None:
        server = over_stdio([sys.executable, "-I", "-S", "-c", SERVER], protocol=HANDSHAKE)
        session = UpstreamSession(server, None, {}, lambda _method, _params: None)
        his, second = Client(b"his"), Client(other)
        await session.connect()
        if ends == "timeout":
            with pytest.raises(MCPError):
                await session.forward(tool("first"), his.request, 10)
        else:
            first = asyncio.create_task(session.forward(tool("first"), his.request, PATIENCE_MS))
            while not session.busy:
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
        await session.forward(tool("second"), second.request, PATIENCE_MS)
        await session.close()
        assert (his.told, second.told) == ([], told)

    asyncio.run(body())


def test_nor_do_questions_and_however_many_were_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        stream = UpstreamCallbacks({}, lambda _method, _params: None, shared_stream=True)
        clients = [Client(b"%d" % number, "session") for number in range(MAX_GIVEN_UP + 2)]
        for each in clients[1:]:
            stream.give_up(each.request)
        for each in clients:
            stream.requests = [each.request]
            with pytest.raises(MCPError, match="cannot tell which one"):
                await stream.answer("elicitation/create", {})
        assert not any(each.told for each in clients)
        monkeypatch.setattr(callbacks, "GIVEN_UP_SECONDS", -1.0)
        for each in clients:
            stream.give_up(each.request)
        await stream.answer("elicitation/create", {})
        assert clients[-1].told == ["elicitation/create"], "after a time it has ended"

    asyncio.run(body())


def test_over_http_a_question_is_that_of_its_exchange() -> None:
    async def body() -> None:
        over_http = UpstreamCallbacks({}, lambda _method, _params: None, shared_stream=False)
        mine = Client(b"mine").request
        over_http.give_up(Client(b"other").request)
        over_http.requests = [mine]
        token = callbacks.current.set(mine)
        await over_http.answer("elicitation/create", {})
        callbacks.current.reset(token)

    asyncio.run(body())
