"""What users and servers get wrong: one error type and code, words that say what to do, a usable client."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from routermcp import RouterMCPClient
from routermcp.types import (
    ConfigError,
    InvalidParamsError,
    LocalProtocolError,
    MCPError,
    ResponseValidationError,
    RetryPolicy,
    TransportError,
)
from tests.routermcp.server import HANDSHAKE, Action, Exchange, ScriptedServer, refused, silent
from tests.third_party import skips_are_failures
from tests.three_runtimes import SLACK_SECONDS, make_client, run

ONCE = RetryPolicy(attempts=1)


# ---- settings ------------------------------------------------------------------------------

URL = "http://127.0.0.1:9/mcp"

#: Arguments of the constructor, and what the error has to say.
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "no url": ({}, "no server URL.*url=.*ROUTERMCP_URL"),
    "empty url": ({"url": ""}, "no server URL"),
    "no scheme": ({"url": "example.com/mcp"}, "no scheme.*http://example.com/mcp"),
    "host and port only": ({"url": "localhost:8000"}, "no scheme.*http://localhost:8000"),
    "websocket": ({"url": "ws://example.com/mcp"}, "'ws'.*http:// or https://"),
    "file": ({"url": "file:///etc/passwd"}, "'file'.*http:// or https://"),
    "no host": ({"url": "http:///mcp"}, "no host"),
    "port too high": ({"url": "http://example.com:99999/mcp"}, "malformed.*[Pp]ort"),
    "port zero": ({"url": "http://example.com:0/mcp"}, "port 0"),
    "port a word": ({"url": "http://example.com:http/mcp"}, "malformed.*[Pp]ort"),
    "space": ({"url": "http://example.com/my server"}, "space"),
    "line break": ({"url": "http://example.com/mcp\r\nX: y"}, "control character"),
    "backslash": ({"url": "http:\\\\example.com\\mcp"}, "backslash"),
    "not IPv6": ({"url": "http://[::zz]/mcp"}, "malformed|IPv6"),
    "password": ({"url": "http://me:sesame@example.com/mcp"}, "api_key= or headers="),
    "endless": ({"url": "http://example.com/" + "a" * 9000}, "longer than"),
    "bytes": ({"url": b"http://example.com/mcp"}, "a URL is text"),
    "number": ({"url": 5}, "a URL is text"),
    "negative timeout": ({"url": URL, "timeout": -1}, "timeout=-1: give milliseconds"),
    "endless timeout": ({"url": URL, "timeout": 10**15}, "at most"),
    "timeout true": ({"url": URL, "timeout": True}, "timeout is a whole number of milliseconds, not True"),
    "timeout in seconds": ({"url": URL, "timeout": 1.5}, "whole number of milliseconds, not 1.5"),
    "timeout as text": ({"url": URL, "timeout": "30s"}, "whole number of milliseconds, not '30s'"),
    "interaction_timeout": ({"url": URL, "interaction_timeout": -5}, "interaction_timeout=-5"),
    "header with CR": ({"url": URL, "headers": {"X-A": "a\rb"}}, "X-A"),
    "header with LF": ({"url": URL, "headers": {"X-A": "a\nX-B: b"}}, "X-A"),
    "header not ASCII": ({"url": URL, "headers": {"X-A": "Grüße"}}, "X-A"),
    "header name": ({"url": URL, "headers": {"X A": "a"}}, "X A"),
    "header not text": ({"url": URL, "headers": {"X-A": 1}}, "X-A"),
    "own header": ({"url": URL, "headers": {"Host": "example.com"}}, "set by the client itself"),
    "headers a list": ({"url": URL, "headers": ["X-A: a"]}, "a dict of strings"),
    "api key with LF": ({"url": URL, "api_key": "sesame\n"}, "Authorization"),
    "user id with LF": ({"url": URL, "user_id": "a\nb", "send_user_id": True}, "User-Id"),
    "protocol": ({"url": URL, "protocol": "2020-01-01"}, "not 'auto' or one of"),
    "verify": ({"url": URL, "verify": "/nowhere/ca.pem"}, "no such file"),
    "callback": ({"url": URL, "on_log": "print"}, "on_log is a function"),
    "no bytes": ({"url": URL, "max_message_size": 0}, "max_message_size=0: give a whole number"),
    "no entries": ({"url": URL, "max_list_entries": True}, "max_list_entries=True: give a whole number"),
    "half a byte": ({"url": URL, "max_list_size": 0.5}, "max_list_size=0.5: give a whole number"),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("runtime", ["asyncio", "blocking"])
def test_wrong_setting(runtime: str, name: str) -> None:
    """Both classes, when they are made: no runtime is there yet."""
    settings, words = SETTINGS[name]
    with pytest.raises(ConfigError, match=f"(?s){words}") as caught:
        make_client(runtime, **settings)
    assert "sesame" not in str(caught.value)


def test_wrong_policy() -> None:
    for settings in ({"attempts": 0}, {"backoff": -1}, {"jitter": 2}):
        with pytest.raises(LocalProtocolError):
            RetryPolicy(**settings)


def test_a_loop_is_needed() -> None:
    client = RouterMCPClient(url=URL)
    coroutine = client.connect()
    with pytest.raises(ConfigError, match="SyncRouterMCPClient"):
        coroutine.send(None)


# ---- arguments of calls ----------------------------------------------------------------------


class Opaque:
    pass


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["again"] = {"deeper": value}
    return value


#: Arguments of a tool, and what the error has to say.
ARGUMENTS: dict[str, tuple[Any, str]] = {
    "range": ({"tags": range(3)}, r"tags.*range"),
    "range far down": (
        {"filter": {"any": [1, {"tags": range(3)}]}},
        r"\['filter'\]\['any'\]\[1\]\['tags'\].*range",
    ),
    "NaN": ({"ratio": math.nan}, r"\['ratio'\]"),
    "infinite": ({"list": [1.0, math.inf]}, r"\['list'\]\[1\]"),
    "circular": (circular(), r"again|circular"),
    "an object": ({"thing": Opaque()}, r"thing.*Opaque"),
    "half a character": ({"words": "\ud800"}, r"words|surrogate"),
    "a list": ([1, 2], "arguments"),
    "text": ("a=1", "arguments"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_that_json_cannot_hold(server: ScriptedServer, runtime: str, name: str) -> None:
    arguments, words = ARGUMENTS[name]

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            with pytest.raises(LocalProtocolError, match=f"(?s){words}"):
                await client.call_tool("echo", arguments)
            assert not (await client.call_tool("echo", {"a": 1})).isError

    run(runtime, body)
    assert server.executed["tools/call:echo"] == 1


#: Keywords of a call, the error and what it has to say.
OPTIONS: dict[str, tuple[dict[str, Any], type[MCPError], str]] = {
    "timeout": ({"timeout": -1}, ConfigError, "timeout=-1"),
    "timeout true": ({"timeout": True}, ConfigError, "whole number"),
    "header": ({"headers": {"X-A": "a\r\nb"}}, MCPError, "X-A"),
    "own header": ({"headers": {"Mcp-Session-Id": "x"}}, MCPError, "set by the client itself"),
    "reserved meta": ({"meta": {"progressToken": 1}}, LocalProtocolError, "progressToken"),
    "meta that JSON cannot hold": ({"meta": {"a/b": range(3)}}, LocalProtocolError, "a/b"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_option_of_a_call(server: ScriptedServer, runtime: str, name: str) -> None:
    options, kind, words = OPTIONS[name]

    async def body() -> None:
        async with make_client(runtime, url=server.url) as client:
            with pytest.raises(kind, match=words):
                await client.call_tool("echo", {}, **options)
            await client.call_tool("echo", {})

    run(runtime, body)
    assert server.executed["tools/call:echo"] == 1


def test_unknown_tool_is_an_error_object(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            with pytest.raises(InvalidParamsError, match=r"'no_such'.*Unknown tool") as caught:
                await client.call_tool("no_such")
            assert (caught.value.code, caught.value.message) == (-32602, "Unknown tool: no_such")
            await client.call_tool("echo")

    run(runtime, body)


def test_a_tool_that_fails_gives_a_result(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            result = await client.call_tool("fail")
            assert (result.isError, result.text) == (True, "it went wrong")

    run(runtime, body)


# ---- answers -----------------------------------------------------------------------------------


def page(exchange: Exchange) -> None:
    exchange.status(200, "<!doctype html><title>Log in</title>", "text/html; charset=utf-8")


def brotli(exchange: Exchange) -> None:
    exchange.execute()
    exchange.status(200, b"\x0b\x02\x80{}\x03", "application/json", Content_Encoding="br")


def no_json(exchange: Exchange) -> None:
    exchange.status(200, '{"jsonrpc": "2.0", ', "application/json")


def empty(exchange: Exchange) -> None:
    exchange.status(200, "", "application/json")


def accepted(exchange: Exchange) -> None:
    exchange.status(202)


def another_answer(exchange: Exchange) -> None:
    exchange.json({"jsonrpc": "2.0", "id": 999, "result": {}})


def no_http(exchange: Exchange) -> None:
    exchange.raw(b"220 mail.example.com ESMTP ready\r\n\r\n")
    exchange.hang_up()


def wrong_shape(exchange: Exchange) -> None:
    exchange.json({"jsonrpc": "2.0", "id": exchange.id, "result": {"content": "text"}})


def no_result(exchange: Exchange) -> None:
    exchange.json({"jsonrpc": "2.0", "id": exchange.id, "result": [1, 2]})


def nonsense_length(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: many\r\n\r\n{}")


def endless_headers(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: " + b"a" * 200_000 + b"\r\n")
    exchange.closed_by_client()


#: What the server does to a call, the error type, its code, and what it has to say.
ANSWERS: dict[str, tuple[Action, type[MCPError], str | None, str]] = {
    "HTML with 200": (page, TransportError, "protocol", "'text/html.*URL of an MCP endpoint"),
    "brotli": (brotli, TransportError, "protocol", "'br'.*decodes gzip"),
    "half JSON": (no_json, TransportError, "protocol", "JSON"),
    "nothing with 200": (empty, TransportError, "protocol", "JSON|answer"),
    "202 for a request": (accepted, TransportError, "protocol", "202.*no answer"),
    "answer to another": (another_answer, TransportError, "protocol", "999|answer"),
    "not HTTP": (no_http, TransportError, "protocol", "MCP's way"),
    "Content-Length": (nonsense_length, TransportError, "protocol", "MCP's way"),
    "endless headers": (endless_headers, TransportError, "protocol", "MCP's way"),
    "wrong shape": (wrong_shape, ResponseValidationError, None, "content"),
    "result no object": (no_result, ResponseValidationError, None, "tools/call"),
    "400": (refused(400, "what?"), TransportError, "http_400", "did not understand.*what?"),
    "401": (refused(401), TransportError, "http_401", "api_key= or an Authorization header"),
    "403": (refused(403), TransportError, "http_403", "do not allow"),
    "404": (refused(404, "no such page"), TransportError, "http_404", "check the path.*/mcp.*no such page"),
    "405": (refused(405), TransportError, "http_405", "check the path"),
    "413": (refused(413), TransportError, "http_413", "too large"),
    "500": (refused(500, "oops"), TransportError, "http_500", "refused.*oops"),
    "302": (refused(302, Location="/elsewhere"), TransportError, "redirect", "POST into GET.*elsewhere"),
    "303": (refused(303, Location="/elsewhere"), TransportError, "redirect", "POST into GET"),
    "another origin": (
        refused(307, Location="http://127.0.0.2/mcp"),
        TransportError,
        "redirect",
        "another origin, http://127.0.0.2/mcp.*credentials are not sent there",
    ),
    "no URL": (refused(308, Location="http://["), TransportError, "redirect", "invalid URL"),
    "no location": (refused(308), TransportError, "redirect", "circles"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_bad_answer_to_a_call(server: ScriptedServer, runtime: str, name: str) -> None:
    action, kind, code, words = ANSWERS[name]

    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=ONCE, timeout=20_000) as client:
            server.script("tools/call", *[action] * (4 if name == "no location" else 1))
            with pytest.raises(kind, match=f"(?s){words}") as caught:
                await client.call_tool("echo")
            assert getattr(caught.value, "code", None) == code
            assert not (await client.call_tool("echo", {"after": 1})).isError

    run(runtime, body)


@pytest.mark.parametrize(
    "name", [name for name in ANSWERS if name not in ("wrong shape", "result no object")]
)
def test_bad_answer_to_connect(server: ScriptedServer, runtime: str, name: str) -> None:
    action, kind, code, words = ANSWERS[name]

    async def body() -> None:
        client = make_client(runtime, url=server.url, retry=ONCE, timeout=20_000)
        # A server of the handshake era may refuse the probe in any way: then it is asked again.
        server.script("server/discover", *[action] * (4 if name == "no location" else 1))
        server.script("initialize", *[action] * (4 if name == "no location" else 1))
        with pytest.raises(kind, match=f"(?s){words}") as caught:
            await client.connect()
        assert getattr(caught.value, "code", None) == code
        with pytest.raises(MCPError, match="not connected"):
            await client.list_tools()
        # The same client connects when the server has come to its senses.
        async with client:
            assert await client.list_tools()

    run(runtime, body)


def events(exchange: Exchange, message: Mapping[str, Any], count: int) -> None:
    """Answer with an event stream of a message, many times, and the answer behind it."""
    lines = [json.dumps(message)] * count + [json.dumps(exchange.execute())]
    exchange.status(200, "".join(f"data: {line}\n\n" for line in lines), "text/event-stream")


def test_messages_in_vain_fill_no_log(server: ScriptedServer, caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with make_client("asyncio", url=server.url) as client:
            in_vain = {"jsonrpc": "2.0", "id": 999, "result": {}}
            server.script("tools/call", lambda exchange: events(exchange, in_vain, 2_000))
            assert not (await client.call_tool("echo")).isError

    run("asyncio", body)
    dropped = [message for message in caplog.messages if "dropped" in message]
    assert len(dropped) == 22
    assert dropped[-1].startswith("1000 messages of ")


def test_a_server_that_asks_without_end_is_not_connected_to(sessions_server: ScriptedServer) -> None:
    ping = {"jsonrpc": "2.0", "id": "p", "method": "ping"}

    async def body() -> None:
        client = make_client("asyncio", url=sessions_server.url, retry=ONCE)
        sessions_server.script("initialize", lambda exchange: events(exchange, ping, 200))
        with pytest.raises(TransportError, match="asks for more than 100 answers") as caught:
            await client.connect()
        assert caught.value.code == "protocol"
        async with client:
            assert await client.list_tools()

    run("asyncio", body)


def test_a_page_about_the_error_is_kept_short(server: ScriptedServer, runtime: str) -> None:
    server.script("tools/call", refused(500, "x" * 100_000))

    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=ONCE) as client:
            with pytest.raises(TransportError) as caught:
                await client.call_tool("echo")
            assert caught.value.status_code == 500
            assert len(caught.value.body or "") == 2048
            assert len(str(caught.value)) < 1000

    run(runtime, body)


def test_redirect_on_the_same_origin_is_followed(server: ScriptedServer, runtime: str) -> None:
    server.script("server/discover", refused(308, Location="/mcp?moved=1"))

    async def body() -> None:
        async with make_client(runtime, url=server.url, api_key="key") as client:
            await client.list_tools()

    run(runtime, body)
    assert [seen.target for seen in server.seen] == ["/mcp", "/mcp?moved=1", "/mcp?moved=1"]
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer key"}


def test_redirect_to_another_origin_sends_nothing_there(server: ScriptedServer, runtime: str) -> None:
    with ScriptedServer() as other:
        server.script("server/discover", refused(307, Location=other.url))

        async def body() -> None:
            client = make_client(runtime, url=server.url, api_key="key")
            with pytest.raises(TransportError, match="another origin") as caught:
                await client.connect()
            assert caught.value.code == "redirect"

        run(runtime, body)
        assert other.connections == 0


def test_redirect_in_circles(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=ONCE) as client:
            server.script("tools/list", *[refused(307, Location="/mcp")] * 10)
            with pytest.raises(TransportError, match="circles") as caught:
                await client.list_tools()
            assert caught.value.code == "redirect"

    run(runtime, body)
    assert len(server.requests("tools/list")) == 4


def test_answer_over_the_limit(server: ScriptedServer, runtime: str) -> None:
    server.tools["long"] = lambda exchange, arguments: {
        "content": [{"type": "text", "text": "x" * arguments["size"]}]
    }

    def as_stream(exchange: Exchange) -> None:
        exchange.stream().answer()

    async def body() -> None:
        async with make_client(runtime, url=server.url, retry=ONCE, max_message_size=10_000) as client:
            assert not (await client.call_tool("long", {"size": 9_000})).isError
            for actions in ([], [as_stream]):
                server.script("tools/call", *actions)
                with pytest.raises(TransportError, match="10000") as caught:
                    await client.call_tool("long", {"size": 11_000})
                assert caught.value.code == "protocol"
            assert not (await client.call_tool("long", {"size": 1})).isError

    run(runtime, body)


def endless(exchange: Exchange, params: dict[str, Any]) -> dict[str, Any]:
    """A page of ten tools with 1,000 characters, and another one after it."""
    number = int(params.get("cursor") or 0)
    return {"tools": [{"name": "x" * 1000}] * 10, "nextCursor": str(number + 1)}


@pytest.mark.parametrize(
    ("limit", "pages"), [({"max_list_entries": 25}, 3), ({"max_list_size": 60_000}, 6)], ids=lambda each: each
)
def test_a_list_without_end_is_an_error_that_names_the_limit(
    server: ScriptedServer, runtime: str, limit: dict[str, Any], pages: int
) -> None:
    server.results["tools/list"] = endless
    ((name, value),) = limit.items()

    async def body() -> None:
        async with make_client(runtime, url=server.url, **limit) as client:
            with pytest.raises(ResponseValidationError, match=rf"{name}={value} .*\*_page") as caught:
                await client.list_tools()
            assert caught.value.method == "tools/list"
            assert len(server.requests("tools/list")) == pages
            # A page by itself has the same limit, and the next list a new one.
            page = await client.list_tools_page("7")
            assert (len(page.tools), page.nextCursor) == (10, "8")

    run(runtime, body)


#: One malformed entry of each kind of list.
ENTRIES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "list_tools": ("tools/list", "tools", {"name": "good"}, {"name": 5}),
    "list_resources": (
        "resources/list",
        "resources",
        {"uri": "a:b", "name": "good"},
        {"name": "no uri"},
    ),
    "list_resource_templates": (
        "resources/templates/list",
        "resourceTemplates",
        {"uriTemplate": "a:{b}", "name": "good"},
        {"name": "none"},
    ),
    "list_prompts": ("prompts/list", "prompts", {"name": "good"}, {"description": "nameless"}),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_one_bad_entry_costs_that_entry(
    server: ScriptedServer, runtime: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    method, member, good, bad = ENTRIES[name]
    server.results[method] = {member: [good, bad, {**good, "title": "second"}]}

    async def body() -> list[Any]:
        async with make_client(runtime, url=server.url) as client:
            return await getattr(client, name)()

    with caplog.at_level(logging.WARNING, "routermcp"):
        entries = run(runtime, body)
    assert [entry.name for entry in entries] == ["good", "good"]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("routermcp", logging.WARNING)
    assert method in record.getMessage()
    assert member in record.getMessage()


# ---- the network ---------------------------------------------------------------------------------


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that is ours and refuses connections: bound, and not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_closed_port(runtime: str) -> None:
    async def body(port: int) -> None:
        client = make_client(runtime, url=f"http://127.0.0.1:{port}/mcp", retry=ONCE)
        with pytest.raises(TransportError, match=r"nothing listens there.*is the server running") as caught:
            await client.connect()
        assert caught.value.code == "connect"
        assert caught.value.not_run

    with closed_port() as port:
        run(runtime, body, port)


def test_silent_port(runtime: str) -> None:
    """The kernel takes the connection, and nobody ever answers."""

    async def body(url: str) -> float:
        client = make_client(runtime, url=url, timeout=200)
        began = time.monotonic()
        with pytest.raises(TransportError, match=r"connect at .* longer than timeout=200 ms") as caught:
            await client.connect()
        assert caught.value.code == "timeout"
        return time.monotonic() - began

    with socket.create_server(("127.0.0.1", 0)) as sock:
        took = run(runtime, body, f"http://127.0.0.1:{sock.getsockname()[1]}/mcp")
    assert 0.2 <= took < 0.2 + SLACK_SECONDS


def test_silent_call(server: ScriptedServer, runtime: str) -> None:
    server.script("tools/call", silent)

    async def body() -> float:
        async with make_client(runtime, url=server.url) as client:
            began = time.monotonic()
            with pytest.raises(TransportError, match=r"tools/call 'echo'.*timeout=200 ms") as caught:
                await client.call_tool("echo", timeout=200)
            took = time.monotonic() - began
            assert caught.value.code == "timeout"
            await client.call_tool("echo")
            return took

    assert 0.2 <= run(runtime, body) < 0.2 + SLACK_SECONDS


def test_name_that_does_not_exist(runtime: str) -> None:
    async def body() -> None:
        client = make_client(runtime, url="http://no-such-host.invalid/mcp", retry=ONCE, timeout=20_000)
        with pytest.raises(TransportError) as caught:
            await client.connect()
        # A machine without a network may take its time over the answer.
        assert caught.value.code in ("dns", "timeout")
        assert "no-such-host.invalid" in str(caught.value)

    run(runtime, body)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh certificate for 127.0.0.1 with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        reason = "the openssl command makes the certificate for these tests, and it is not installed"
        if skips_are_failures():
            pytest.fail(reason)
        pytest.skip(reason)
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(path), "-out", f"{path}.crt", "-days", "2", "-subj", "/CN=scripted"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "OPENSSL_CONF": os.devnull},
    )
    with path.open("a") as file:
        file.write(Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedServer(tls=context) as scripted:
        yield scripted


def failing(runtime: str, url: str, **settings: Any) -> TransportError:
    async def body() -> TransportError:
        client = make_client(runtime, url=url, retry=ONCE, timeout=20_000, **settings)
        with pytest.raises(TransportError) as caught:
            await client.connect()
        return caught.value

    return run(runtime, body)


def test_https_to_a_server_we_trust(tls_server: ScriptedServer, runtime: str, certificate: Path) -> None:
    async def body() -> None:
        async with make_client(runtime, url=tls_server.url, verify=certificate) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"

    run(runtime, body)


def test_https_to_a_server_nobody_trusts(tls_server: ScriptedServer, runtime: str) -> None:
    error = failing(runtime, tls_server.url)
    assert error.code == "tls"
    assert "verify='/path/to/ca.pem'" in str(error)
    assert tls_server.seen == []


def test_plain_http_to_a_tls_port(tls_server: ScriptedServer, runtime: str) -> None:
    error = failing(runtime, tls_server.url.replace("https", "http"))
    assert error.code in ("protocol", "closed")
    assert "https://" in str(error)


def test_https_to_a_plain_port(server: ScriptedServer, runtime: str) -> None:
    error = failing(runtime, server.url.replace("http", "https"))
    assert error.code in ("tls", "connect")
    assert "http:// server?" in str(error)


def test_a_server_of_an_unknown_revision(runtime: str) -> None:
    def future(exchange: Exchange, params: dict[str, Any]) -> Mapping[str, Any]:
        return {
            "protocolVersion": "2099-01-01",
            "capabilities": {},
            "serverInfo": {"name": "x", "version": "1"},
        }

    with ScriptedServer(HANDSHAKE) as server:
        server.results["initialize"] = future

        async def body() -> None:
            client = make_client(runtime, url=server.url)
            with pytest.raises(ResponseValidationError, match=r"2099-01-01.*this client knows.*2025-11-25"):
                await client.connect()

        run(runtime, body)
