"""A child process runs the tool, and then gives every signal after which a client might call it again."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from routermcp_adapters.call.driver import CallOptions, Driver, DriverSettings
from routermcp_adapters.runtime import Runtime, StreamClosedError
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_adapters.streams.session import StreamSession
from routermcp_proto import calls
from routermcp_proto.client_session import ClientSession
from routermcp_proto.exceptions import MCPError, TransportError
from routermcp_proto.retry import RetryPolicy
from tests.adapters.rig import CAPABILITIES, HANDSHAKE, SERVER_INFO, Callbacks, LoneRuntime

INITIALIZED = {"protocolVersion": HANDSHAKE, "capabilities": CAPABILITIES, "serverInfo": SERVER_INFO}
DONE = {"content": [{"type": "text", "text": "done"}]}

QUESTION = {"mode": "form", "message": "?", "requestedSchema": {"type": "object", "properties": {}}}
PING = {"id": "p", "method": "ping"}
ASK = {"id": "q", "method": "elicitation/create", "params": QUESTION}

#: The child ends, with what it has not read.
END = None


class Children:
    """Starts children that answer the first call of a tool in a way, and all others with a result."""

    def __init__(self, *first: Mapping[str, Any] | None, listed: Mapping[str, Any] | None = None) -> None:
        self.first = deque(first)
        self.listed = listed or {"result": {"tools": []}}
        self.received: list[str] = []

    async def open(self, runtime: Runtime) -> Child:
        return Child(self)

    def __str__(self) -> str:
        return "child"


class Child:
    """One of them; it ends when what it is about to say is :data:`END`."""

    def __init__(self, family: Children) -> None:
        self._family = family
        self._says: deque[Mapping[str, Any] | None] = deque()

    async def send(self, payload: bytes) -> None:
        if self._says and self._says[0] is END:
            raise StreamClosedError("the process has ended")
        message = json.loads(payload)
        method, family = message.get("method"), self._family
        if method is None or "id" not in message:
            return
        family.received.append(method)
        usual = {"initialize": {"result": INITIALIZED}, "tools/list": family.listed}
        answers = list(family.first) if method == "tools/call" else []
        if answers:
            family.first.clear()
        for each in answers or [usual.get(method, {"result": DONE})]:
            self._says.append(each and {"id": message["id"], **each})

    async def receive(self) -> bytes:
        said = self._says[0]
        if said is END:
            return b""
        self._says.popleft()
        return json.dumps({"jsonrpc": "2.0", **said}).encode()

    async def aclose(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


@contextmanager
def connected(children: Children) -> Generator[Driver]:
    """A client that is connected to the first of them."""
    runtime, callbacks = LoneRuntime(lambda: lambda _: []), Callbacks()
    machine = ClientSession(capabilities={"elicitation": {"form": {}}}, protocol=HANDSHAKE)
    settings = DriverSettings(retry=RetryPolicy(attempts=5), interaction_timeout=1000, gateway=False)
    driver = Driver(StreamSession(children, machine, callbacks), callbacks, settings)
    run_sync(driver.connect(runtime, 30_000))
    try:
        yield driver
    finally:
        run_sync(driver.disconnect())


def make_call(driver: Driver) -> MCPError | None:
    """Call the tool, and return the error."""
    try:
        run_sync(driver.call(calls.call_tool("send"), CallOptions(30_000)))
    except MCPError as failed:
        return failed
    return None


def error(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


UNINITIALIZED = error(-32002, "Server not initialized")

RUN_ONCE: Mapping[str, tuple[Mapping[str, Any] | None, ...]] = {
    "its end": (END,),
    "a ping, and its end": (PING, END),
    "a question, and its end": (ASK, END),
    "words of a lost session": (error(-32001, "Session not found"),),
    "that something is not initialized": (UNINITIALIZED,),
    "that its language server is not initialized": (error(-32600, "Server not initialized"),),
    "a revision that it does not speak": (error(-32022, "unsupported"),),
    "a header that it does not have": (error(-32020, "mismatch"),),
    "too many requests": (error(429, "slow down"),),
}


@pytest.mark.parametrize("name", RUN_ONCE)
def test_a_tool_that_may_have_run_is_not_run_again(name: str) -> None:
    children = Children(*RUN_ONCE[name])
    with connected(children) as driver:
        assert make_call(driver) is not None
        assert children.received.count("tools/call") == 1
        assert make_call(driver) is None


def test_the_error_of_a_call_whose_child_ended_says_that_it_may_have_run() -> None:
    with connected(Children(PING, END)) as driver:
        failed = make_call(driver)
    assert isinstance(failed, TransportError)
    assert (failed.code, failed.not_run) == ("interrupted", False)


def test_a_child_that_waits_for_initialize_is_believed_where_it_refuses_everything() -> None:
    children = Children(UNINITIALIZED, listed=UNINITIALIZED)
    with connected(children) as driver:
        assert make_call(driver) is None
    assert children.received.count("tools/call") == 2
    assert children.received.count("initialize") == 2


def test_a_child_that_lost_its_session_while_the_tool_ran_is_initialized_for_the_next_call() -> None:
    said = error(-32000, "Server not initialized")
    children = Children(said, listed=said)
    with connected(children) as driver:
        failed = make_call(driver)
        assert isinstance(failed, TransportError)
        assert failed.code == "interrupted"
        assert children.received.count("tools/call") == 1
        assert make_call(driver) is None
    assert children.received.count("initialize") == 2
