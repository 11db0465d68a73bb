"""Cancellation, and a deadline, at every await of a call.

The awaits are found by counting, not by a list: a call is made again and again, and the n-th
time that it suspends it is struck, for n = 0, 1, 2, ... until it is through before. After
each there is exactly one outcome, nothing is held, and the client goes on.
"""

from __future__ import annotations

import asyncio
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any

import pytest
import trio

from routermcp import RouterMCPClient
from routermcp.types import MCPError, PoolLimits, RetryPolicy, TransportError
from routermcp_adapters.runtimes.asyncio import AsyncioRuntime
from routermcp_adapters.runtimes.blocking import BlockingRuntime
from routermcp_adapters.runtimes.trio import TrioRuntime
from tests.routermcp.server import HANDSHAKE, STATELESS, Exchange, ScriptedServer
from tests.routermcp.server import text as said
from tests.three_runtimes import make_client, run

#: Strikes after which a call that is still not through is one that never will be.
MAX_STRIKES = 200

#: Each way to break a call off, on each runtime that has it.
STRIKES = [
    ("asyncio", "cancel"),
    ("asyncio", "deadline"),
    ("trio", "cancel"),
    ("trio", "deadline"),
    ("blocking", "deadline"),
]

FORM = {
    "message": "Who are you?",
    "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
}

Make = Callable[[], Coroutine[Any, Any, Any]]


class Blow:
    """Strikes once, the n-th time that something waits."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.waits = 0
        self.strike: Callable[[], object] = lambda: None
        self.first: Callable[[], object] = lambda: None
        self.struck = False

    def wait_begins(self) -> None:
        if self.waits == self.at:
            self.struck = True
            self.strike()
        elif not self.waits:
            self.first()
        self.waits += 1


@types.coroutine
def watched(coroutine: Coroutine[Any, Any, Any], blow: Blow) -> Generator[Any, Any, Any]:
    """Run a coroutine to its end, and tell of every time it suspends."""
    resume: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        try:
            trap = resume(value)
        except StopIteration as done:
            return done.value
        blow.wait_begins()
        try:
            value = yield trap
            resume = coroutine.send
        except BaseException as error:  # noqa: BLE001 - handed on, whatever it is
            value, resume = error, coroutine.throw


class Striker:
    """Makes calls that are struck, in the way of a runtime."""

    def __init__(self, runtime: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runtime = runtime
        self.way = way
        self._scopes: list[Any] = []
        self._blow = Blow(-1)
        for kind in (AsyncioRuntime, TrioRuntime, BlockingRuntime):
            monkeypatch.setattr(kind, "deadline", self._recording(kind.deadline))
        look = BlockingRuntime._remaining

        def looking(blocking: BlockingRuntime) -> float | None:
            self._blow.wait_begins()
            return look(blocking)

        if runtime == "blocking":
            monkeypatch.setattr(BlockingRuntime, "_remaining", looking)

    def _recording(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def deadline(runtime: Any, at: float | None) -> Any:
            scope = original(runtime, at)
            self._scopes.append(scope)
            return scope

        return deadline

    def _let_expire(self) -> None:
        """End the time of the outermost limit now, as its timer would."""
        scope = self._scopes[0]
        if self.runtime == "asyncio":
            scope.expire()
        elif self.runtime == "trio":
            scope._scope.cancel()
        else:
            scope.at = 0.0

    async def strike(self, at: int, make: Make) -> tuple[bool, str]:
        """Make a call that is struck at a wait; return whether it came to that, and how the call ended."""
        self._scopes.clear()
        blow = Blow(at)
        if self.way == "deadline":
            blow.strike = self._let_expire
        try:
            self._blow = blow
            if self.runtime == "blocking":
                await make()
                return blow.struck, "result"
            if self.runtime == "asyncio":
                outcome = await self._in_a_task(blow, make)
                return blow.struck, outcome
            with trio.CancelScope() as scope:
                if self.way == "cancel":
                    blow.strike = scope.cancel
                await watched(make(), blow)
                return blow.struck, "result"
            return blow.struck, "cancelled"
        except TransportError as error:
            return blow.struck, error.code
        finally:
            self._blow = Blow(-1)

    def at_first_wait(self, act: Callable[[], object]) -> None:
        """Do something when the call that is made now waits for the first time."""
        self._blow.first, self._blow.waits = act, 0

    async def _in_a_task(self, blow: Blow, make: Make) -> str:
        async def body() -> None:
            await watched(make(), blow)

        task = asyncio.ensure_future(body())
        if self.way == "cancel":
            blow.strike = task.cancel
        await asyncio.wait([task])
        if task.cancelled():
            return "cancelled"
        assert not task.cancelling(), "a deadline of ours leaves no cancellation behind"
        task.result()
        return "result"

    async def everywhere(
        self,
        make: Callable[[int], Make],
        check: Callable[[int], Coroutine[Any, Any, None]],
        outcomes: list[str] | None = None,
    ) -> int:
        """Strike a call at each of its waits in turn, check after each, and return how many it had."""
        for at in range(MAX_STRIKES):
            struck, outcome = await self.strike(at, make(at))
            if outcomes is not None:
                outcomes.append(outcome)
            if not struck:
                assert outcome == "result"
                await check(at)
                return at
            assert outcome in ({"cancelled"} if self.way == "cancel" else {"timeout"}) | {"result"}
            if self.runtime == "asyncio":
                assert self.way == "deadline" or outcome == "cancelled", "who is cancelled hears of it"
                assert asyncio.all_tasks() == {asyncio.current_task()}, "no task is left behind"
            await check(at)
        raise AssertionError(f"not through after {MAX_STRIKES} waits")


@pytest.fixture(params=STRIKES, ids="-".join)
def striker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Striker:
    return Striker(*request.param, monkeypatch)


def assert_nothing_held(client: RouterMCPClient, listening: int = 0) -> None:
    """See that no connection is in use, but for the one on which the server may ask."""
    stats = client.stats()
    assert stats.in_use <= listening
    assert stats.waiting == 0


async def works(client: RouterMCPClient, number: int, *, listening: int = 0) -> None:
    """See that the client gives the answer to this call, and holds nothing."""
    assert_nothing_held(client, listening)
    assert (await client.call_tool("add", {"a": number, "b": 1000})).text == str(number + 1000)
    assert_nothing_held(client, listening)


class Tools:
    """Tools that are made for one call each, and count how often they have run."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self.runs: Counter[str] = Counter()

    def add(self, number: int, tool: Callable[[Exchange], Mapping[str, Any]]) -> str:
        """Offer a tool; one that asks for input by its result has run when it has given another."""
        name = f"tool-{number}"

        def counted(exchange: Exchange, arguments: dict[str, Any]) -> Mapping[str, Any]:
            given = tool(exchange)
            if given.get("resultType") != "input_required":
                self.runs[name] += 1
            return given

        self._server.tools[name] = counted
        return name

    def assert_none_ran_twice(self) -> None:
        assert self.runs
        assert max(self.runs.values()) == 1


async def strike_a_tool(
    striker: Striker,
    server: ScriptedServer,
    tool: Callable[[Exchange], Mapping[str, Any]],
    *,
    before: Callable[[], object] = lambda: None,
    progress: Any = None,
    listening: int = 0,
    **settings: Any,
) -> int:
    """Strike calls of a tool at each of their waits, and return how many they have."""
    tools = Tools(server)

    def make(client: RouterMCPClient, at: int) -> Make:
        before()
        name = tools.add(at, tool)
        return lambda: client.call_tool(name, on_progress=progress)

    # The task that reads between calls is not one of those that a call may leave behind.
    async with make_client(striker.runtime, url=server.url, attend=False, **settings) as client:
        waits = await striker.everywhere(
            lambda at: make(client, at), lambda at: works(client, at, listening=listening)
        )
    tools.assert_none_ran_twice()
    assert_nothing_held(client)
    return waits


def plainly(exchange: Exchange) -> Mapping[str, Any]:
    return said("done")


def on_a_stream(exchange: Exchange) -> Mapping[str, Any]:
    exchange.stream()
    if "progressToken" in exchange.seen.params.get("_meta", {}):
        exchange.progress(1, 2)
        exchange.progress(2, 2)
    return said("done")


def asking(exchange: Exchange) -> Mapping[str, Any]:
    """Ask the client in the way of the era."""
    if exchange.server.era == STATELESS:
        if "inputResponses" in exchange.seen.params:
            return said("done")
        question = {"method": "elicitation/create", "params": FORM}
        return {"resultType": "input_required", "inputRequests": {"question": question}}
    exchange.stream().ask("elicitation/create", **FORM)
    return said("done")


def asking_aside(exchange: Exchange) -> Mapping[str, Any]:
    """Ask on the stream that the client has opened for it, if it is there."""
    server = exchange.server
    shared = server.sessions[exchange.seen.headers["mcp-session-id"]]
    if shared is not None:
        server.ask(shared.event, "elicitation/create", FORM)
    return said("done")


async def checkpoint(runtime: str) -> None:
    """Let others run: a wait in the middle of a callback."""
    await (asyncio.sleep(0) if runtime == "asyncio" else trio.lowlevel.checkpoint())


def soon(runtime: str, act: Callable[[], object]) -> None:
    """Do something as soon as the one that runs now waits."""
    if runtime == "asyncio":
        asyncio.get_running_loop().call_soon(act)
    elif runtime == "trio":
        trio.lowlevel.current_trio_token().run_sync_soon(act)
    else:
        act()


def callback(runtime: str, answer: Any = None) -> Callable[[Any], Any]:
    """A callback that waits, where callbacks can."""

    async def waiting(asked: Any) -> Any:
        await checkpoint(runtime)
        return answer

    return (lambda asked: answer) if runtime == "blocking" else waiting


# ---- calls ------------------------------------------------------------------------------------


def test_an_answer_in_json(any_server: ScriptedServer, striker: Striker) -> None:
    assert run(striker.runtime, strike_a_tool, striker, any_server, plainly) >= 1


def test_an_answer_on_an_event_stream(any_server: ScriptedServer, striker: Striker) -> None:
    async def body() -> int:
        progress = callback(striker.runtime)
        return await strike_a_tool(striker, any_server, on_a_stream, progress=progress)

    assert run(striker.runtime, body) >= (1 if striker.runtime == "blocking" else 3)


def test_a_question_in_the_middle(any_server: ScriptedServer, striker: Striker) -> None:
    async def body() -> int:
        answering = callback(striker.runtime, {"name": "Ada"})
        return await strike_a_tool(striker, any_server, asking, on_elicitation=answering)

    assert run(striker.runtime, body) >= 2


def test_a_question_aside(striker: Striker) -> None:
    async def body() -> int:
        answering = callback(striker.runtime, {"name": "Ada"})
        return await strike_a_tool(striker, server, asking_aside, on_elicitation=answering, listening=1)

    with ScriptedServer(HANDSHAKE, listens=True) as server:
        assert run(striker.runtime, body) >= 2


def test_a_session_that_the_server_has_forgotten(sessions_server: ScriptedServer, striker: Striker) -> None:
    async def body() -> int:
        return await strike_a_tool(striker, sessions_server, plainly, before=sessions_server.forget_sessions)

    assert run(striker.runtime, body) >= 4


def test_an_attempt_that_is_repeated(any_server: ScriptedServer, striker: Striker) -> None:
    """Between the attempts there is a wait."""
    attempts: Counter[str] = Counter()

    def refuse_twice(exchange: Exchange) -> None:
        # A call that was struck may arrive after the next one has begun.
        call = exchange.seen.headers["x-call"]
        attempts[call] += 1
        if attempts[call] > 2:
            exchange.answer()
        else:
            exchange.status(503)

    async def body() -> int:
        retry = RetryPolicy(backoff=0.001)
        any_server.script("tools/list", *[refuse_twice] * MAX_STRIKES)
        async with make_client(striker.runtime, url=any_server.url, retry=retry) as client:

            def make(at: int) -> Make:
                return lambda: client.list_tools(headers={"X-Call": str(at)})

            return await striker.everywhere(make, lambda at: works(client, at))

    assert run(striker.runtime, body) >= 5


def test_waiting_for_a_place(any_server: ScriptedServer, striker: Striker) -> None:
    """The only place is taken; when the call waits for it for the first time, it is given free."""

    async def body() -> int:
        limits = PoolLimits(max_connections=1)
        async with make_client(striker.runtime, url=any_server.url, limits=limits) as client:
            pool = client._transport.pool()
            held: list[Any] = []

            def make(at: int) -> Make:
                async def call() -> None:
                    held.append(await pool.lease(client._transport.endpoint))
                    striker.at_first_wait(lambda: soon(striker.runtime, give_back))
                    try:
                        await client.call_tool("add", {"a": 1, "b": 1})
                    finally:
                        give_back()

                def give_back() -> None:
                    if held:
                        pool.release(held.pop())

                return call

            return await striker.everywhere(make, lambda at: works(client, at))

    assert run(striker.runtime, body) >= 2


# ---- connecting and disconnecting ------------------------------------------------------------------


@pytest.mark.parametrize("listens", [False, True])
def test_connecting(era: str, listens: bool, striker: Striker) -> None:
    async def body() -> int:
        client = make_client(
            striker.runtime, url=server.url, on_elicitation=callback(striker.runtime, {"name": "Ada"})
        )

        async def check(at: int) -> None:
            if outcomes.pop() != "result":
                assert client.stats().open == 0, "a connect that was broken off leaves nothing behind"
            await client.connect()
            await works(client, at, listening=1)
            await client.disconnect()
            assert client.stats().open == 0
            client._transport.memory.__init__()  # what it knows would spare the next one its probe

        return await striker.everywhere(lambda at: client.connect, check, outcomes)

    outcomes: list[str] = []
    with ScriptedServer(era, listens=listens) as server:
        assert run(striker.runtime, body) >= 2


def test_disconnecting(sessions_server: ScriptedServer, striker: Striker) -> None:
    async def body() -> int:
        client = make_client(striker.runtime, url=sessions_server.url)
        session = client.create_session("ada")
        await client.connect()
        await session.connect()

        async def check(at: int) -> None:
            assert client.stats().open == 0, "the connections of its sessions close too"
            with pytest.raises(MCPError, match="not connected"):
                await client.list_tools()
            await client.connect()
            await session.disconnect()
            await session.connect()
            await works(client, at)

        waits = await striker.everywhere(lambda at: client.disconnect, check)
        await client.disconnect()
        return waits

    assert run(striker.runtime, body) >= 1
