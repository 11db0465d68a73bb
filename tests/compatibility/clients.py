"""The three clients of the compatibility table behind the same verbs.

Each is used as its documentation says, with its default settings; what it returns is brought into
one form, as a user of it would. What a client has nothing for is :class:`NotOffered`. Nothing of the
three is imported before it is used, as no environment has to hold all of them.
"""

from __future__ import annotations

import base64
import importlib
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

Target = str | list[str]
"""A URL, or the command of a child process."""


class NotOffered(Exception):
    """The client has nothing for what the row does."""


class Session(Protocol):
    """What a row does with a client that is connected."""

    async def call(self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> str:
        """Return the text of a tool's result. Options: ``on_progress``, ``raise_on_error``, ``patient``."""
        ...

    async def structured(self, name: str) -> Any:
        """Return the structured content of a tool's result."""
        ...

    async def tools(self) -> list[str]:
        """Return the names of all tools."""
        ...

    async def read(self, uri: str) -> bytes:
        """Return the bytes of a resource."""
        ...

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a method that MCP does not know."""
        ...

    async def text(self, name: str) -> str:
        """Return the result of a tool that is declared to return a text."""
        ...


class Client(Protocol):
    """One of the three."""

    def open(self, target: Target, **options: Any) -> AbstractAsyncContextManager[Session]:
        """Connect.

        Options: ``headers``; ``heard``, called with the method of each notification; ``asked``, called
        for an elicitation; ``renewed``, called when a session was renewed; ``http_client``, which makes an
        HTTP client; ``sse``; ``twice``, to enter the client a second time.
        """
        ...

    def is_own(self, error: BaseException) -> bool:
        """Whether an error is of the client's own kind."""
        ...


#: Seconds that a call may take in the rows about a time limit.
CALL_SECONDS = 1.0


class RouterMCP:
    """This project's client."""

    @asynccontextmanager
    async def open(self, target: Target, **options: Any) -> AsyncGenerator[Session]:
        client_class = importlib.import_module("routermcp").RouterMCPClient
        heard, asked = options.get("heard"), options.get("asked")
        settings = {
            "headers": options.get("headers"),
            "on_notification": heard and (lambda method, _params: heard(method)),
            "on_elicitation": asked and (lambda _request: asked()),
            "on_session_renewed": options.get("renewed"),
        }
        if isinstance(target, str):
            settings |= {"url": target, "sse": options.get("sse", False)}
        else:
            settings["transport"] = importlib.import_module("routermcp.transports").stdio(target)
        async with (
            made(options.get("http_client")) as http_client,
            client_class(**settings, http_client=http_client) as client,
        ):
            if options.get("twice"):
                async with client:
                    pass
            yield _OurSession(client)

    def is_own(self, error: BaseException) -> bool:
        return isinstance(error, importlib.import_module("routermcp").MCPError)


class _OurSession:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> str:
        settings: dict[str, Any] = {}
        if "on_progress" in options:
            on_progress = options["on_progress"]
            settings["on_progress"] = lambda progress: on_progress(progress.progress)
        if options.get("patient"):
            settings |= {"timeout": int(CALL_SECONDS * 1000), "reset_on_progress": True}
        if options.get("raise_on_error"):
            settings["raise_on_error"] = True
        return (await self._client.call_tool(name, arguments, **settings)).text

    async def structured(self, name: str) -> Any:
        return (await self._client.call_tool(name)).structuredContent

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._client.list_tools()]

    async def read(self, uri: str) -> bytes:
        return (await self._client.read_resource(uri)).contents[0].data

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return await self._client.request(method, params, dict)

    async def text(self, name: str) -> str:
        return await self._client.call_tool_typed(name, {}, str)


class Official:
    """``mcp.Client``."""

    @asynccontextmanager
    async def open(self, target: Target, **options: Any) -> AsyncGenerator[Session]:
        if "renewed" in options:
            raise NotOffered
        async with AsyncExitStack() as stack:
            http_client = await stack.enter_async_context(made(options.get("http_client")))
            client = importlib.import_module("mcp").Client(
                self._transport(target, http_client, options),
                message_handler=_handler(options.get("heard")),
                elicitation_callback=_asked(options.get("asked")),
            )
            await stack.enter_async_context(client)
            if options.get("twice"):
                async with client:
                    pass
            yield _OfficialSession(client)

    def _transport(self, target: Target, http_client: Any, options: dict[str, Any]) -> Any:
        if not isinstance(target, str):
            command, *arguments = target
            return importlib.import_module("mcp").StdioServerParameters(command=command, args=arguments)
        if options.get("sse"):
            return importlib.import_module("mcp.client.sse").sse_client(target)
        if "headers" in options:
            make = importlib.import_module("mcp.shared._httpx_utils").create_mcp_http_client
            http_client = make(headers=options["headers"])
        if http_client is None:
            return target
        connect = importlib.import_module("mcp.client.streamable_http").streamable_http_client
        return connect(target, http_client=http_client)

    def is_own(self, error: BaseException) -> bool:
        return isinstance(error, importlib.import_module("mcp.shared.exceptions").MCPError)


class _OfficialSession:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> str:
        if options.get("raise_on_error"):
            raise NotOffered
        settings: dict[str, Any] = {}
        if "on_progress" in options:
            settings["progress_callback"] = _progress(options["on_progress"])
        if options.get("patient"):
            settings["read_timeout_seconds"] = CALL_SECONDS
        result = await self._client.call_tool(name, dict(arguments or {}), **settings)
        return _text(result)

    async def structured(self, name: str) -> Any:
        return (await self._client.call_tool(name)).structured_content

    async def tools(self) -> list[str]:
        names: list[str] = []
        cursor = None
        while True:
            page = await self._client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                return names

    async def read(self, uri: str) -> bytes:
        return base64.b64decode((await self._client.read_resource(uri)).contents[0].blob)

    async def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        types = importlib.import_module("mcp_types")
        request = types.Request[dict[str, Any], str](method=method, params=params)
        # Its models drop what they do not know.
        model = importlib.import_module("pydantic").create_model(
            "Any", __base__=types.Result, hits=(int, ...)
        )
        return (await self._client.session.send_request(request, model)).model_dump()

    async def text(self, name: str) -> str:
        raise NotOffered


class FastMCP:
    """``fastmcp.Client``."""

    @asynccontextmanager
    async def open(self, target: Target, **options: Any) -> AsyncGenerator[Session]:
        if "renewed" in options:
            raise NotOffered
        client = importlib.import_module("fastmcp").Client(
            self._transport(target, options),
            message_handler=_handler(options.get("heard")),
            elicitation_handler=_asked(options.get("asked")),
        )
        async with client:
            if options.get("twice"):
                async with client:
                    pass
            yield _FastMCPSession(client)

    def _transport(self, target: Target, options: dict[str, Any]) -> Any:
        transports = importlib.import_module("fastmcp.client.transports")
        if not isinstance(target, str):
            command, *arguments = target
            return transports.StdioTransport(command, arguments, keep_alive=False)
        if options.get("sse"):
            return transports.SSETransport(target)
        if "headers" in options:
            return transports.StreamableHttpTransport(target, headers=options["headers"])
        if "http_client" in options:

            def make(**_settings: Any) -> Any:
                return options["http_client"]()

            return transports.StreamableHttpTransport(target, httpx_client_factory=make)
        return target

    def is_own(self, error: BaseException) -> bool:
        own = importlib.import_module("fastmcp.exceptions").FastMCPError
        return isinstance(error, own) or Official().is_own(error)


class _FastMCPSession(_OfficialSession):
    async def call(self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> str:
        settings: dict[str, Any] = {"raise_on_error": bool(options.get("raise_on_error"))}
        if "on_progress" in options:
            settings["progress_handler"] = _progress(options["on_progress"])
        if options.get("patient"):
            settings["timeout"] = CALL_SECONDS
        return _text(await self._client.call_tool(name, dict(arguments or {}), **settings))

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self._client.list_tools()]

    async def read(self, uri: str) -> bytes:
        return base64.b64decode((await self._client.read_resource(uri))[0].blob)


@asynccontextmanager
async def made(make: Callable[[], Any] | None) -> AsyncGenerator[Any]:
    """Give an HTTP client of the user's, None where the user brings none."""
    if make is None:
        yield None
    else:
        async with make() as http_client:
            yield http_client


def _text(result: Any) -> str:
    return "\n".join(item.text for item in result.content if item.type == "text")


def _progress(on_progress: Callable[[float], None]) -> Any:
    async def callback(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        on_progress(progress)

    return callback


def _handler(heard: Callable[[str], None] | None) -> Any:
    if heard is None:
        return None

    async def handler(message: Any) -> None:
        heard(getattr(getattr(message, "root", message), "method", ""))

    return handler


def _asked(asked: Callable[[], Any] | None) -> Any:
    """Return a callback that takes what the client calls it with: the two packages differ in that."""
    if asked is None:
        return None

    async def callback(*_arguments: Any) -> Any:
        return asked()

    return callback


CLIENTS: dict[str, Client] = {"routermcp": RouterMCP(), "mcp": Official(), "fastmcp": FastMCP()}
