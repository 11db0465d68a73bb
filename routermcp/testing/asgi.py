"""An httpx client of an ASGI application in the same process, with streams and without a socket.

``httpx.ASGITransport`` hands a response on when it is complete, so that a server could say nothing while
a call runs. Here the application runs beside its client, in the way of a server: it is told of the end of
a connection, and goes on if it does not listen.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx
from anyio.abc import TaskGroup

from routermcp_adapters.logs import get_logger

ASGIMessage = MutableMapping[str, Any]
ASGIReceive = Callable[[], Awaitable[ASGIMessage]]
ASGISend = Callable[[ASGIMessage], Awaitable[None]]
ASGIApplication = Callable[[Any, ASGIReceive, ASGISend], Awaitable[None]]

log = get_logger("routermcp.testing")


@asynccontextmanager
async def asgi_client(app: ASGIApplication) -> AsyncGenerator[httpx.AsyncClient]:
    """Run an ASGI application, and return an httpx client of it; give that as ``http_client=``.

    The application is started and shut down as a server does (its lifespan). On asyncio and trio.

    Args:
        app: The application.

    Raises:
        RuntimeError: The application failed to start.
    """
    lifespan = _Lifespan(app)
    problem: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifespan.run)
        await lifespan.started.wait()
        try:
            lifespan.check()
            async with httpx.AsyncClient(transport=_ASGITransport(app, tasks)) as client:
                yield client
        except Exception as error:  # noqa: BLE001 - raised again, when it is in no exception group any more
            problem = error
        await lifespan.stop()
        tasks.cancel_scope.cancel()
    if problem is not None:
        raise problem


class _Lifespan:
    """The start and the end of an application; one that knows no lifespan has none."""

    def __init__(self, app: ASGIApplication) -> None:
        self._app = app
        self._stopping = anyio.Event()
        self.started = anyio.Event()
        self._stopped = anyio.Event()
        self._asked = False
        self._problem: str | None = None

    async def run(self) -> None:
        """Run the application for its start and its end."""
        try:
            await self._app({"type": "lifespan", "asgi": {"version": "3.0"}}, self._receive, self._send)
        except Exception as error:  # noqa: BLE001 - an application without lifespan raises at once
            log.debug("the application has no lifespan: %r", error)
        finally:
            self.started.set()
            self._stopped.set()

    def check(self) -> None:
        """Raise what kept the application from starting."""
        if self._problem is not None:
            raise RuntimeError(f"the application did not start: {self._problem}")

    async def stop(self) -> None:
        """Have the application shut down, and wait until it has."""
        self._stopping.set()
        await self._stopped.wait()

    async def _receive(self) -> ASGIMessage:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: ASGIMessage) -> None:
        if message["type"] == "lifespan.startup.failed":
            self._problem = str(message.get("message") or "no reason given")
        self.started.set()


class _ASGITransport(httpx.AsyncBaseTransport):
    def __init__(self, app: ASGIApplication, tasks: TaskGroup) -> None:
        self._app = app
        self._tasks = tasks

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange(self._app, request.method, request.url, request.headers, await request.aread())
        self._tasks.start_soon(exchange.run)
        await exchange.begun.wait()
        return httpx.Response(exchange.status, headers=exchange.headers, stream=exchange)


class _Exchange(httpx.AsyncByteStream):
    """A request, and the body of its response as it comes."""

    def __init__(
        self, app: ASGIApplication, method: str, url: httpx.URL, headers: httpx.Headers, body: bytes
    ) -> None:
        path, _, query = url.raw_path.partition(b"?")
        self._app = app
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": url.scheme,
            "path": url.path,
            "raw_path": path,
            "root_path": "",
            "query_string": query,
            "headers": [(name.lower(), value) for name, value in headers.raw],
            "client": ("127.0.0.1", 0),
            "server": (url.host, url.port),
        }
        self._body: bytes | None = body
        self._gone = anyio.Event()
        self._to_client, self._chunks = anyio.create_memory_object_stream[bytes]()
        self.begun = anyio.Event()
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []

    async def run(self) -> None:
        """Run the application; its error is logged, and answered with 500 as a server does."""
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception:
            log.warning("the application failed", exc_info=True)
        finally:
            self.begun.set()
            self._to_client.close()

    async def _receive(self) -> ASGIMessage:
        body, self._body = self._body, None
        if body is None:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def _send(self, message: ASGIMessage) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
            self.begun.set()
            return
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # the client has left
            if message.get("body"):
                await self._to_client.send(message["body"])
            if not message.get("more_body"):
                self._to_client.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        self._gone.set()
        self._chunks.close()
