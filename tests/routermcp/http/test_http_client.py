"""A client of the user's own, and proxies: the same calls, errors and retries over httpx."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from routermcp import RouterMCPClient
from routermcp.types import (
    ConfigError,
    ElicitRequest,
    MCPError,
    PoolLimits,
    Progress,
    RetryPolicy,
    RPCError,
    TransportError,
)
from routermcp_adapters.http.httpx import client_maker
from tests import loopback
from tests.faults.rows import drip
from tests.routermcp.server import PATIENCE, STATELESS, Exchange, ScriptedServer, dropped, lost, refused
from tests.three_runtimes import LATE_SECONDS, SLACK_SECONDS, abandon, abandon_when, gather, make_client, run

ONCE = RetryPolicy(attempts=1)


def http_client(runtime: str, **options: Any) -> Any:
    make = loopback.Client if runtime == "blocking" else loopback.AsyncClient
    return make(**options)


def brought(
    runtime: str, url: str, options: dict[str, Any] | None = None, **settings: Any
) -> RouterMCPClient:
    return make_client(runtime, url=url, http_client=http_client(runtime, **(options or {})), **settings)


async def closing(runtime: str, client: Any) -> None:
    if runtime == "blocking":
        client.close()
    else:
        await client.aclose()


@contextlib.asynccontextmanager
async def connected(
    runtime: str,
    url: str,
    options: dict[str, Any] | None = None,
    **settings: Any,
):
    http = http_client(runtime, **(options or {}))
    async with make_client(runtime, url=url, http_client=http, **settings) as client:
        yield client
    assert not http.is_closed, "who brings a client closes it"
    await closing(runtime, http)


# ---- calls -------------------------------------------------------------------------------------


def test_calls_of_every_kind(any_server: ScriptedServer, runtime: str) -> None:
    def streamed(exchange: Exchange) -> None:
        exchange.stream().progress(1, 2)
        exchange.answer()

    seen: list[float] = []

    def note(progress: Progress) -> None:
        seen.append(progress.progress)

    async def body() -> None:
        async with connected(runtime, any_server.url) as client:
            assert client.server is not None
            assert len(await client.list_tools()) > 1
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
            assert await client.list_resources()
            with pytest.raises(RPCError):
                await client.call_tool("unknown")
            any_server.script("tools/call", streamed)
            assert (await client.call_tool("add", {"a": 2, "b": 2}, on_progress=note)).text == "4"

            async def add(number: int = 1) -> str:
                return (await client.call_tool("add", {"a": number, "b": 0})).text

            assert await gather(runtime, [add] * 10) == ["1"] * 10

    run(runtime, body)
    assert seen == [1]
    if any_server.era != STATELESS:
        assert len(any_server.requests("DELETE")) == 1


def test_questions_of_the_server(any_server: ScriptedServer, runtime: str) -> None:
    asked: list[str] = []

    def on_elicitation(request: ElicitRequest) -> dict[str, Any]:
        asked.append(request.message)
        return {}

    def ask(exchange: Exchange) -> None:
        params = {"mode": "form", "message": "who?", "requestedSchema": {"type": "object", "properties": {}}}
        if exchange.server.era == STATELESS:
            wanted = {"who": {"method": "elicitation/create", "params": params}}
            result = {"resultType": "input_required", "inputRequests": wanted}
            exchange.json({"jsonrpc": "2.0", "id": exchange.id, "result": result})
        else:
            exchange.stream().ask("elicitation/create", **params)
            exchange.answer()

    async def body() -> str:
        async with connected(runtime, any_server.url, on_elicitation=on_elicitation) as client:
            any_server.script("tools/call", ask)
            return (await client.call_tool("add", {"a": 1, "b": 1})).text

    assert run(runtime, body) == "2"
    assert asked == ["who?"]


def test_a_cut_stream_is_resumed(sessions_server: ScriptedServer, runtime: str) -> None:
    answers: list[dict[str, Any]] = []

    def cut(exchange: Exchange) -> None:
        answers.append(exchange.execute())
        exchange.stream().event(None, "first", retry=1)
        exchange.end()

    def rest(exchange: Exchange) -> None:
        assert exchange.seen.headers["last-event-id"] == "first"
        exchange.stream().event(answers[0])
        exchange.end()

    async def body() -> str:
        async with connected(runtime, sessions_server.url) as client:
            sessions_server.script("tools/call", cut)
            sessions_server.script("GET", rest)
            return (await client.call_tool("add", {"a": 1, "b": 1})).text

    assert run(runtime, body) == "2"


# ---- failures ----------------------------------------------------------------------------------


def test_failures_have_the_same_codes(server: ScriptedServer, runtime: str) -> None:
    def silent(exchange: Exchange) -> None:
        exchange.closed_by_client()

    def garbage(exchange: Exchange) -> None:
        exchange.raw(b"\x00garbage\r\n\r\n")
        exchange.hang_up()

    def page(exchange: Exchange) -> None:
        exchange.status(200, "<html></html>", "text/html")

    async def body() -> list[str]:
        codes: list[str] = []
        async with connected(runtime, server.url, retry=ONCE) as client:
            for action in (
                lost,
                dropped,
                silent,
                garbage,
                page,
                refused(503),
                refused(307, Location="http://x.test/"),
            ):
                server.script("tools/call", action)
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("echo", timeout=300 if action is silent else 20_000)
                codes.append(caught.value.code)
                assert isinstance(caught.value.__cause__, Exception) or caught.value.status_code
                assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
                assert client.stats().in_use == 0 if runtime != "blocking" else True
        return codes

    assert run(runtime, body) == [
        "interrupted",
        "interrupted",
        "timeout",
        "interrupted",
        "protocol",
        "http_503",
        "redirect",
    ]


def test_a_closed_port(runtime: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/mcp"

    async def body() -> TransportError:
        http = http_client(runtime)
        with pytest.raises(TransportError) as caught:
            await make_client(runtime, url=url, http_client=http, retry=ONCE).connect()
        await closing(runtime, http)
        return caught.value

    error = run(runtime, body)
    assert (error.code, error.not_run) == ("connect", True)


def test_reads_are_repeated_and_tools_are_not(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with connected(runtime, server.url, retry=RetryPolicy(backoff=1)) as client:
            server.script("tools/list", lost, refused(503))
            await client.list_tools()
            server.script("tools/call", lost)
            with pytest.raises(TransportError, match="may have run"):
                await client.call_tool("echo")

    run(runtime, body)
    assert len(server.requests("tools/list")) == 3
    assert server.executed["tools/call:echo"] == 1


def test_a_call_that_is_given_up(any_server: ScriptedServer, runtime: str) -> None:
    def silent(exchange: Exchange) -> None:
        if exchange.closed_by_client():
            any_server.events["closed"].set()

    async def body() -> None:
        async with connected(runtime, any_server.url) as client:
            any_server.script("tools/call", silent)

            async def call(**options: Any) -> Any:
                return await client.call_tool("echo", **options)

            assert await abandon_when(lambda: any_server.requests("tools/call"), runtime, call)
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)
    assert any_server.events["closed"].wait(PATIENCE)


def test_an_answer_that_is_given_up_in_the_middle_is_closed(server: ScriptedServer, runtime: str) -> None:
    def stuck(exchange: Exchange) -> None:
        exchange.stream().notify("notifications/message", level="info", data="at work")
        if exchange.closed_by_client():
            exchange.server.events["closed"].set()

    async def body() -> None:
        async with connected(runtime, server.url) as client:
            server.script("tools/call", stuck)

            async def call(**options: Any) -> Any:
                return await client.call_tool("echo", **options)

            # By then the answer has begun, on a slow machine too.
            assert await abandon(runtime, 1.0, call)
            assert server.events["closed"].wait(PATIENCE), "while the client lives"

    run(runtime, body)


def test_an_answer_whose_callback_fails_is_closed(server: ScriptedServer, runtime: str) -> None:
    def reporting(exchange: Exchange) -> None:
        exchange.stream().progress(1, 2)
        if exchange.closed_by_client():
            exchange.server.events["closed"].set()

    def fail(progress: Progress) -> None:
        raise LookupError("of the callback")

    async def body() -> None:
        async with connected(runtime, server.url) as client:
            server.script("tools/call", reporting)
            with pytest.raises(LookupError):
                await client.call_tool("echo", on_progress=fail)
            assert server.events["closed"].wait(PATIENCE), "while the client lives"

    run(runtime, body)


def test_the_server_hears_of_a_call_that_is_given_up(sessions_server: ScriptedServer, runtime: str) -> None:
    """It has a moment for that, and the caller is not held up by one that takes longer."""

    def silent(exchange: Exchange) -> None:
        exchange.closed_by_client()

    def mentioned(exchange: Exchange) -> None:
        sessions_server.events["mentioned"].set()
        silent(exchange)

    async def body() -> float:
        def headers() -> dict[str, str]:
            return {"X-Team": "blue"}

        async with connected(runtime, sessions_server.url, headers=headers) as client:
            sessions_server.script("tools/call", silent)
            sessions_server.script("notifications/cancelled", mentioned)

            async def call(**options: Any) -> Any:
                return await client.call_tool("echo", **options)

            began = time.monotonic()
            assert await abandon_when(lambda: sessions_server.requests("tools/call"), runtime, call)
            return time.monotonic() - began

    assert run(runtime, body) < LATE_SECONDS
    assert sessions_server.events["mentioned"].wait(PATIENCE)
    (called,) = sessions_server.requests("tools/call")
    (notice,) = sessions_server.requests("notifications/cancelled")
    assert notice.params["requestId"] == called.message["id"]
    assert notice.headers["x-team"] == "blue"


def test_the_deadline_is_of_the_call_and_not_of_the_client(server: ScriptedServer, runtime: str) -> None:
    def late(exchange: Exchange) -> None:
        exchange.server.events["never"].wait(0.3)
        exchange.answer()

    async def body() -> None:
        async with connected(runtime, server.url, {"timeout": 0.1}, retry=ONCE) as client:
            server.script("tools/call", late)
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

            server.script("tools/call", drip)
            began = time.monotonic()
            with pytest.raises(TransportError, match="timeout=400 ms") as caught:
                await client.call_tool("echo", timeout=400)
            assert caught.value.code == "timeout"
            assert time.monotonic() - began < 0.4 + 3 * SLACK_SECONDS

    run(runtime, body)


def test_an_answer_that_httpx_decompresses(server: ScriptedServer, runtime: str) -> None:
    def compressed(exchange: Exchange) -> None:
        data = gzip.compress(json.dumps(exchange.execute()).encode())
        lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", "Content-Encoding: gzip"]
        head = "\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""])
        exchange.raw(head.encode() + data)

    async def body() -> str:
        async with connected(runtime, server.url) as client:
            server.script("tools/call", compressed)
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"


def test_redirects_are_ours_to_follow(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with connected(runtime, server.url, {"follow_redirects": True}, retry=ONCE) as client:
            server.script("tools/call", refused(307, Location="http://127.0.0.1:9/mcp"))
            with pytest.raises(TransportError, match="another origin") as caught:
                await client.call_tool("echo")
            assert caught.value.code == "redirect"

    run(runtime, body)


def test_a_closed_client_is_refused(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        http = http_client(runtime)
        await closing(runtime, http)
        with pytest.raises(ConfigError, match="closed"):
            await make_client(runtime, url=server.url, http_client=http).connect()

    run(runtime, body)


def test_a_client_of_the_wrong_kind_is_refused(runtime: str) -> None:
    wrong = httpx.AsyncClient() if runtime == "blocking" else httpx.Client()
    for given in (wrong, object()):
        with pytest.raises(ConfigError, match=r"httpx2\.(Async)?Client here"):
            make_client(runtime, url="http://127.0.0.1:9/", http_client=given)
    if isinstance(wrong, httpx.Client):
        wrong.close()


# ---- what httpx brings -------------------------------------------------------------------------


def test_event_hooks_headers_and_auth_of_the_client(server: ScriptedServer, runtime: str) -> None:
    hooked: list[str] = []

    def plain(request: httpx.Request) -> None:
        hooked.append(request.method)

    async def awaited(request: httpx.Request) -> None:
        plain(request)

    options = {
        "event_hooks": {"request": [plain if runtime == "blocking" else awaited]},
        "headers": {"X-Team": "blue"},
        "auth": ("ada", "secret"),
    }

    async def body() -> None:
        async with connected(runtime, server.url, options) as client:
            await client.call_tool("echo")

    run(runtime, body)
    (called,) = server.requests("tools/call")
    assert called.headers["x-team"] == "blue"
    assert called.headers["authorization"].startswith("Basic ")
    assert hooked == ["POST", "POST"]


def test_a_mock_transport(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # for who has brought nothing

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="mocked")

    async def body() -> None:
        http = http_client(runtime, transport=httpx.MockTransport(answer))
        with pytest.raises(MCPError, match="mocked"):
            await make_client(runtime, url="http://mock.test/mcp", http_client=http, retry=ONCE).connect()
        await closing(runtime, http)

    run(runtime, body)


def test_httpx_is_imported_by_who_needs_it() -> None:
    made = "routermcp.RouterMCPClient('http://127.0.0.1:9/')"
    program = f"import sys, routermcp; {made}; sys.exit('httpx' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


# ---- proxies -----------------------------------------------------------------------------------


class Proxy:
    """A plain HTTP proxy that notes what goes through it."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with (
            sock,
            socket.create_connection(("127.0.0.1", self._target)) as server,
            contextlib.suppress(OSError),
        ):
            back = threading.Thread(target=self._copy, args=(server, sock), daemon=True)
            back.start()
            while data := sock.recv(65536):
                # A client may send head and body apart.
                self.heads += [data.partition(b"\r\n")[0]] if data.startswith(b"POST ") else []
                # Absolute form to origin form, which is all that such a proxy has to do.
                server.sendall(data.replace(b"POST http://gateway.test/", b"POST /", 1))

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def proxy(server: ScriptedServer) -> Iterator[Proxy]:
    serving = Proxy(server.port)
    yield serving
    serving.close()


@pytest.mark.parametrize("way", ["argument", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
def test_a_proxy_is_gone_through(
    server: ScriptedServer, proxy: Proxy, runtime: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {}
    if way == "argument":
        settings["proxy"] = proxy.url
    else:
        name = way.lower() if way == "HTTP_PROXY" and sys.platform == "win32" else way
        monkeypatch.setenv(name, proxy.url)

    async def body() -> str:
        async with make_client(runtime, url="http://gateway.test/mcp", **settings) as client:
            await client.list_tools()
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    assert proxy.heads
    assert all(head.startswith(b"POST http://gateway.test/mcp ") for head in proxy.heads)


def test_the_log_of_httpx_has_no_key_in_it(
    server: ScriptedServer, proxy: Proxy, runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the URL of each request; the query goes to the server all the same."""
    caplog.set_level(logging.DEBUG)

    async def body() -> None:
        url = "http://gateway.test/mcp?apiKey=planted-secret"
        async with make_client(runtime, url=url, proxy=proxy.url) as client:
            await client.list_tools()

    run(runtime, body)
    assert "HTTP Request: POST http://gateway.test/mcp " in caplog.text
    assert "planted-secret" not in caplog.text
    assert {seen.target for seen in server.seen} == {"/mcp?apiKey=planted-secret"}


@pytest.mark.parametrize("excluded", ["NO_PROXY", "argument", "loopback"])
def test_a_proxy_that_does_not_apply(
    server: ScriptedServer, runtime: str, excluded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    there = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: [there])
    if excluded == "NO_PROXY":
        monkeypatch.setenv("NO_PROXY", "other.test,.example,gateway.test")
    settings = {"proxy": ""} if excluded == "argument" else {}
    url = server.url if excluded == "loopback" else server.url.replace("127.0.0.1", "gateway.test")

    async def body() -> None:
        async with make_client(runtime, url=url, retry=ONCE, **settings) as client:
            await client.list_tools()

    run(runtime, body)


def test_the_client_for_a_proxy_is_closed_by_its_last_user(
    server: ScriptedServer, proxy: Proxy, runtime: str
) -> None:
    async def body() -> None:
        client = make_client(runtime, url="http://gateway.test/mcp", proxy=proxy.url)
        ada = client.create_session("ada")
        await ada.connect()
        alone = client._transport._client
        await ada.disconnect()
        assert alone.is_closed

        await client.connect()
        await ada.connect()
        shared = client._transport._client
        await ada.disconnect()
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
        await ada.connect()
        await client.disconnect()
        assert shared.is_closed, "with its sessions"

    run(runtime, body)


@pytest.mark.parametrize("blocking", [False, True])
def test_the_client_for_a_proxy_has_the_settings_of_ours(blocking: bool) -> None:
    context = ssl.create_default_context()
    limits = PoolLimits(max_connections=3, max_idle=2, idle_expiry=1500)
    made = client_maker("http://127.0.0.1:9", lambda: context, limits)(blocking)
    assert (made.trust_env, made.timeout) == (False, httpx.Timeout(None))
    pool = made._transport_for_url(httpx.URL("http://gateway.test/"))._pool
    kept = (pool._max_connections, pool._max_keepalive_connections, pool._keepalive_expiry, pool._ssl_context)
    assert kept == (3, 2, 1.5, context)


class SocksProxy(Proxy):
    """A SOCKS 5 proxy without a password (RFC 1928), which leads to one server whatever is asked for."""

    def _serve(self, sock: socket.socket) -> None:
        there = ("127.0.0.1", self._target)
        with sock, socket.create_connection(there) as server, contextlib.suppress(OSError):
            methods = sock.recv(2)[1]
            sock.recv(methods)
            sock.sendall(b"\x05\x00")
            asked = sock.recv(512)
            self.heads.append(asked)
            sock.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
            threading.Thread(target=self._copy, args=(server, sock), daemon=True).start()
            self._copy(sock, server)


def test_a_socks_proxy(server: ScriptedServer, runtime: str) -> None:
    proxy = SocksProxy(server.port)

    async def body() -> str:
        url = proxy.url.replace("http", "socks5")
        async with make_client(runtime, url="http://gateway.test/mcp", proxy=url) as client:
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    assert run(runtime, body) == "3"
    proxy.close()
    assert b"gateway.test" in proxy.heads[0], "the proxy looks the name up"


def test_what_is_no_proxy_is_refused(runtime: str) -> None:
    for proxy, word in [
        (7, "proxy is a URL"),
        ("ftp://x", "cannot be used"),
        ("socks9://ada:secret@x", "cannot be used"),
    ]:

        async def body(proxy: Any = proxy) -> None:
            await make_client(runtime, url="http://gateway.test/", proxy=proxy).connect()

        with pytest.raises(ConfigError, match=word) as caught:
            run(runtime, body)
        assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="to http_client"):
        make_client(runtime, url="http://gateway.test/", proxy="http://x", http_client=http_client(runtime))


def test_a_proxy_that_cannot_be_reached(runtime: str) -> None:
    async def body() -> TransportError:
        client = make_client(runtime, url="http://gateway.test/", proxy="http://127.0.0.1:9", retry=ONCE)
        with pytest.raises(TransportError) as caught:
            await client.connect()
        return caught.value

    error = run(runtime, body)
    assert (error.code, error.not_run) == ("connect", True)
