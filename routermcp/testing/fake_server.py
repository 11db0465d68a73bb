"""A server of plain functions, for tests of code that uses a client: no socket, no process.

::

    server = FakeServer()

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    with SyncRouterMCPClient(transport=server) as client:
        assert client.call_tool("add", {"a": 1, "b": 2}).text == "3"
    assert server.calls == [FakeCall("tools/call", "add", {"a": 1, "b": 2})]

It serves clients on asyncio, on trio and in blocking code, in the era that they ask for.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast, overload

from routermcp_adapters.runtime import Runtime
from routermcp_proto.events import RequestReceived

from .fake_connection import FakeConnection, missing, unknown
from .fake_stream import FakeStream
from .fake_tools import FakeTool, Steps, contents_of, messages_of

Function = TypeVar("Function", bound=Callable[..., Any])

#: The parameter of a request that names what it is for.
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class FakeCall(NamedTuple):
    """A request that came for a tool, a prompt or a resource."""

    method: str
    name: str
    """The name of the tool or prompt, or the URI of the resource."""
    arguments: Mapping[str, Any]


class FakeServer:
    """A server of plain functions; give it as ``transport=``.

    Args:
        name: The name that it tells clients, and that errors have.

    Attributes:
        calls: The requests for tools, prompts and resources, in the order in which they came.
    """

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.calls: list[FakeCall] = []
        self.suspended: dict[str, Steps] = {}
        self._states = itertools.count(1)
        self._tools: dict[str, FakeTool] = {}
        self._prompts: dict[str, FakeTool] = {}
        self._resources: dict[str, Callable[[], Any]] = {}
        self._delays: dict[str, float] = {}
        self._failures: dict[str, list[Exception]] = {}
        self._streams: weakref.WeakSet[FakeStream] = weakref.WeakSet()

    def __str__(self) -> str:
        return f"the server {self.name!r} in this process"

    # ---- what it has -----------------------------------------------------------------------------

    @overload
    def tool(self, function: Function, /) -> Function: ...

    @overload
    def tool(self, /, *, name: str | None = None) -> Callable[[Function], Function]: ...

    def tool(self, function: Any = None, /, *, name: str | None = None) -> Any:
        """Offer a function as a tool: its documentation, and the types of its parameters.

        Clients that are connected are told that the list has changed. See :class:`FakeTool`.

        Args:
            function: The function.
            name: The name of the tool, where it is not the function's: ``@server.tool(name="a.b")``.

        Raises:
            TypeError: It is a coroutine function.
        """
        return self._offer(self._tools, "tools", function, name)

    @overload
    def prompt(self, function: Function, /) -> Function: ...

    @overload
    def prompt(self, /, *, name: str | None = None) -> Callable[[Function], Function]: ...

    def prompt(self, function: Any = None, /, *, name: str | None = None) -> Any:
        """Offer a function as a prompt; it returns a text, or messages. The rest is as in :meth:`tool`."""
        return self._offer(self._prompts, "prompts", function, name)

    def _offer(
        self, offered: dict[str, FakeTool], kind: str, function: Callable[..., Any] | None, name: str | None
    ) -> Any:
        if function is None:
            return partial(self._offer, offered, kind, name=name)
        tool = FakeTool(function, name)
        offered[tool.name] = tool
        self.notify(f"notifications/{kind}/list_changed")
        return function

    def resource(self, uri: str) -> Callable[[Function], Function]:
        """Offer what a function returns as a resource: text, bytes, or what JSON can hold.

        Raises:
            TypeError: The URI is missing.
        """
        if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError('a resource has a URI: @server.resource("weather://stations")')

        def add(function: Function) -> Function:
            self._resources[uri] = function
            self.notify("notifications/resources/list_changed")
            return function

        return add

    # ---- what it is to do ------------------------------------------------------------------------

    def fail(self, name: str, error: Exception, *, times: int = 1) -> None:
        """Have the next requests for a tool, a prompt or a resource fail.

        Args:
            name: Its name, or its URI.
            error: An :class:`~routermcp.RPCError` to answer with; an :class:`OSError` breaks the
                connection.
            times: How often.
        """
        self._failures.setdefault(name, []).extend([error] * times)

    def delay(self, name: str, milliseconds: float) -> None:
        """Have all requests for a tool, a prompt or a resource begin later; 0 for at once."""
        self._delays[name] = milliseconds

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification to all clients that are connected; may be called from any thread."""
        for stream in tuple(self._streams):
            stream.notify(method, params or {})

    # ---- for its connections ---------------------------------------------------------------------

    @property
    def capabilities(self) -> dict[str, Any]:
        """The capabilities that it declares."""
        changing = {"listChanged": True}
        return {"tools": changing, "prompts": changing, "resources": changing, "logging": {}}

    def delay_of(self, asked: RequestReceived) -> float:
        """Return the milliseconds before a request is begun."""
        name = asked.params.get(_NAMED_BY.get(asked.method, ""))
        return self._delays.get(name, 0.0) if isinstance(name, str) else 0.0

    def suspend(self, steps: Steps) -> str:
        """Keep a call until the client comes with the answer; return the state that it comes with."""
        state = f"fake-{next(self._states)}"
        self.suspended[state] = steps
        return state

    def begin(self, asked: RequestReceived) -> Steps:
        """Begin a request.

        Raises:
            RPCError: There is nothing of that name, or it is to fail.
            OSError: The connection is to break.
        """
        lists: dict[str, Callable[[], dict[str, Any]]] = {
            "tools/list": lambda: {"tools": [tool.listed() for tool in self._tools.values()]},
            "prompts/list": lambda: {"prompts": [{"name": name} for name in self._prompts]},
            "resources/list": lambda: {"resources": [{"uri": uri, "name": uri} for uri in self._resources]},
            "resources/templates/list": lambda: {"resourceTemplates": []},
            "logging/setLevel": dict,
        }
        if asked.method in lists:
            return _at_once(lists[asked.method]())
        named_by = _NAMED_BY.get(asked.method)
        if named_by is None:
            raise unknown(asked.method)
        name = str(asked.params.get(named_by))
        arguments = cast("Mapping[str, Any]", asked.params.get("arguments") or {})
        self.calls.append(FakeCall(asked.method, name, dict(arguments)))
        failures = self._failures.get(name)
        if failures:
            raise failures.pop(0)
        return self._work_of(asked.method, name, arguments)

    def _work_of(self, method: str, name: str, arguments: Mapping[str, Any]) -> Steps:
        if method == "tools/call" and name in self._tools:
            return self._tools[name].begin(arguments)
        if method == "prompts/get" and name in self._prompts:
            return self._prompts[name].begin(arguments, messages_of)
        if method == "resources/read" and name in self._resources:
            return _at_once(contents_of(name, self._resources[name]()))
        raise missing(method.partition("/")[0].removesuffix("s"), name)

    async def open(self, runtime: Runtime) -> FakeStream:
        """Open a stream for a client."""
        stream = FakeStream(FakeConnection(self), runtime)
        self._streams.add(stream)
        return stream


def _at_once(result: dict[str, Any]) -> Steps:
    return result
    yield  # a call without steps is one all the same
