"""What a child process says between two calls is heard, and answered."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from routermcp.transports import stdio
from tests.lifecycles import begun
from tests.processes import PATIENCE
from tests.three_runtimes import RUNTIMES, gather, make_client, run

SPEAKER = [sys.executable, "-I", "-S", str(Path(__file__).with_name("speaker.py"))]

Flags: Mapping[str, Callable[[], Any]] = {
    "asyncio": asyncio.Event,
    "trio": trio.Event,
    "blocking": threading.Event,
}


class Listener:
    """Takes notifications, and waits for the last of them without calling the client."""

    def __init__(self, runtime: str) -> None:
        self._blocking = runtime == "blocking"
        self._done = Flags[runtime]()
        self.methods: list[str] = []
        self.answers: list[Mapping[str, Any]] = []

    def hear(self, method: str, params: Mapping[str, Any]) -> None:
        self.methods.append(method)
        if method == "test/done":
            self.answers.append(params)
            self._done.set()

    async def done(self) -> None:
        if self._blocking:
            assert self._done.wait(PATIENCE)
        else:
            await self._done.wait()


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


def client_of(runtime: str, listener: Listener, **settings: Any) -> Any:
    settings = {"protocol": "2025-11-25", "on_notification": listener.hear, **settings}
    return make_client(runtime, transport=stdio(SPEAKER), **settings)


@pytest.mark.parametrize("what", ["nothing", "stderr", "stdout"])
def test_an_idle_child_is_heard_and_never_blocks_on_a_pipe(runtime: str, what: str) -> None:
    async def body() -> list[str]:
        listener = Listener(runtime)
        async with client_of(runtime, listener) as client:
            await client.call_tool("speak", {"what": what})
            await listener.done()
        return listener.methods

    methods = run(runtime, body)
    assert methods[-1] == "test/done"
    assert methods.count("test/filler") == (1024 if what == "stdout" else 0)


def test_changed_lists_of_the_stateless_era_are_heard_between_calls(runtime: str) -> None:
    async def body() -> list[str]:
        listener = Listener(runtime)
        async with client_of(runtime, listener, protocol="2026-07-28") as client:
            await client.call_tool("speak", {"what": "changed"})
            await listener.done()
        return listener.methods

    assert run(runtime, body) == ["notifications/tools/list_changed"] * 2 + ["test/done"]


def test_a_ping_is_answered_between_calls(runtime: str) -> None:
    async def body() -> list[Mapping[str, Any]]:
        listener = Listener(runtime)
        async with client_of(runtime, listener) as client:
            await client.call_tool("speak", {"what": "ping"})
            await listener.done()
            assert (await client.call_tool("speak", {})).text == "ok"
        return listener.answers[:1]

    assert run(runtime, body) == [{"answer": {}, "error": None}]


def test_a_question_between_calls_is_answered_by_its_callback(runtime: str) -> None:
    async def body() -> list[Mapping[str, Any]]:
        listener = Listener(runtime)
        settings = {"on_elicitation": lambda asked: {"name": asked.message}}
        async with client_of(runtime, listener, **settings) as client:
            await client.call_tool("speak", {"what": "elicit"})
            await listener.done()
        return listener.answers

    (said,) = run(runtime, body)
    assert said["answer"] == {"action": "accept", "content": {"name": "who?"}}


def test_a_callback_that_fails_between_calls_is_logged_and_refused(
    runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(asked: object) -> dict[str, Any]:
        raise LookupError("no such form")

    async def body() -> list[Mapping[str, Any]]:
        listener = Listener(runtime)
        async with client_of(runtime, listener, on_elicitation=fail) as client:
            await client.call_tool("speak", {"what": "elicit"})
            await listener.done()
            assert (await client.call_tool("speak", {})).text == "ok"
        return listener.answers[:1]

    with caplog.at_level(logging.ERROR, "routermcp"):
        (said,) = run(runtime, body)
    assert said["error"]["code"] == -32603
    assert "no such form" in caplog.text


def test_a_callback_between_calls_may_disconnect_the_client(runtime: str) -> None:
    """On the blocking runtime it runs in a thread of its own; nothing waits for itself."""
    left = Flags[runtime]()
    clients: list[Any] = []

    async def leave(method: str, params: object) -> None:
        await clients[0].disconnect()
        left.set()

    def leave_blocking(method: str, params: object) -> None:
        clients[0].disconnect()
        left.set()

    async def body() -> None:
        on_notification = leave_blocking if runtime == "blocking" else leave
        client = make_client(
            runtime, transport=stdio(SPEAKER), protocol="2025-11-25", on_notification=on_notification
        )
        clients.append(getattr(client, "_plain", client))
        await client.connect()
        await client.call_tool("speak", {})
        if runtime == "blocking":
            assert left.wait(PATIENCE)
        else:
            await left.wait()
        await client.disconnect()

    run(runtime, body)


def test_without_an_attendant_a_child_is_heard_during_the_next_call(runtime: str) -> None:
    async def body() -> None:
        listener = Listener(runtime)
        async with client_of(runtime, listener, attend=False) as client:
            before = threading.active_count(), begun(runtime)
            await client.call_tool("speak", {"what": "ping"})
            assert listener.methods == []
            assert (threading.active_count(), begun(runtime)) == before
            await client.call_tool("speak", {})
            assert listener.methods == []
            await client.call_tool("speak", {})
            assert "test/done" in listener.methods

    run(runtime, body)


def test_an_attendant_ends_with_disconnect(runtime: str) -> None:
    async def body() -> None:
        before = begun(runtime)
        async with client_of(runtime, Listener(runtime)) as client:
            await client.call_tool("speak", {})
            assert begun(runtime) > before
        assert begun(runtime) == before

    run(runtime, body)


def test_many_calls_and_an_attendant_share_one_stream(runtime: str) -> None:
    async def body() -> list[str]:
        async with client_of(runtime, Listener(runtime)) as client:

            async def call() -> str:
                return (await client.call_tool("speak", {"what": "ping"})).text

            answers = [await call() for _ in range(20)]
            return answers + await gather(runtime, [call] * 20)

    assert run(runtime, body) == ["ok"] * 40


def test_a_child_that_waits_for_initialize_is_initialized_again(runtime: str) -> None:
    """As one does behind a wrapper that has started it anew."""
    told: list[str] = []

    async def body() -> str:
        settings: Any = {"on_session_renewed": lambda renewal: told.append(renewal.reason)}
        async with client_of(runtime, Listener(runtime), **settings) as client:
            await client.call_tool("speak", {"what": "forget"})
            return (await client.call_tool("speak", {})).text

    assert run(runtime, body) == "ok"
    assert told == ["the server has forgotten the session"]
