"""Rows about what a server answers: to the probe, in the envelope, as a status, as a body."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

from tests.compatibility.clients import Client, Session
from tests.compatibility.rows import Kind, Row, add, message, scripted
from tests.routermcp.server import (
    END_OF_STREAM,
    HANDSHAKE,
    Action,
    Exchange,
    Result,
    StrictServer,
    dropped,
    refused,
)

# ---- the probe -----------------------------------------------------------------------------

GO_SDK = "modelcontextprotocol/go-sdk#1014"
RUST_SDK = "modelcontextprotocol/rust-sdk#1149"


#: Seconds for which a server is silent: longer than any client here waits.
SILENT_SECONDS = 60.0


def silent(exchange: Exchange) -> None:
    """Say nothing until the row is over."""
    exchange.keep = False
    exchange.server.events["over"].wait(SILENT_SECONDS)


def accepted(exchange: Exchange) -> None:
    exchange.status(202)


def page(exchange: Exchange) -> None:
    exchange.status(200, "<!doctype html><title>Docs</title>", "text/html")


def ended_stream(exchange: Exchange) -> None:
    exchange.stream().end()


def of_another(exchange: Exchange) -> None:
    exchange.json({"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "unknown"}})


def probe(name: str, action: Action, report: str = GO_SDK) -> Row:
    """``server/discover`` is answered so by a server of the handshake era, however often it is asked."""
    play = scripted({"server/discover": action}, era=HANDSHAKE, times=5)
    return Row(f"`server/discover` is answered with {name}", (report,), play, "3")


PROBE = Kind(
    "A failed probe is no failed server",
    (
        probe("502", refused(502, "Bad Gateway")),
        probe("503", refused(503)),
        probe("403 of a filter of methods", refused(403, "method not allowed")),
        probe("202", accepted),
        probe("an empty 200", lambda exchange: exchange.status(200, "", "application/json")),
        probe("`null`", lambda exchange: exchange.status(200, "null", "application/json")),
        probe("a page", page),
        probe("the answer to another request", of_another),
        probe("an event stream that ends", ended_stream),
        probe("a hang-up", dropped),
        probe("nothing at all", silent, RUST_SDK),
    ),
)

# ---- messages that ask for nothing ------------------------------------------------------------


def body_without_end(exchange: Exchange) -> None:
    exchange.raw(b"HTTP/1.1 202 Accepted\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n")
    silent(exchange)


def stream_without_end(exchange: Exchange) -> None:
    silent(exchange.stream())


def notified(name: str, action: Action, *reports: str) -> Row:
    """``notifications/initialized`` is answered so."""
    play = scripted({"notifications/initialized": action}, era=HANDSHAKE)
    return Row(f"`notifications/initialized` is answered with {name}", reports, play, "3")


async def asked_in_silence(client: Client) -> object:
    """A server asks in the middle of a call, goes on with the answer, and does not respond to its POST."""

    def asks(exchange: Exchange) -> None:
        exchange.stream().ask("ping")
        exchange.answer()

    def takes(exchange: Exchange) -> None:
        exchange.server.take_answer(exchange.seen)
        silent(exchange)

    return await scripted({"tools/call": asks, "answer": takes}, era=HANDSHAKE)(client)


NOTIFICATIONS = Kind(
    "A message that asks for nothing is done with its head",
    (
        notified("an event stream that stays open", stream_without_end, "wevm/vocs#484"),
        notified("202 and a body that never comes", body_without_end, "wevm/vocs#484"),
        notified("nothing at all", silent, "wevm/vocs#484"),
        notified("a hang-up", dropped),
        Row(
            "The answer to a question of the server is answered with nothing at all",
            ("wevm/vocs#484",),
            asked_in_silence,
            "3",
        ),
        notified("204", refused(204), "egoist/chatwise-releases#1360"),
        notified("200 and a text", refused(200, "Accepted"), "modelcontextprotocol/java-sdk#748"),
    ),
)


# ---- the envelope ------------------------------------------------------------------------------

PYTHON_SDK = "modelcontextprotocol/python-sdk#961"
WAZUH = "gensecaihq/Wazuh-MCP-Server#59"
PLAYWRIGHT = "microsoft/playwright-mcp#1410"


def answer(name: str, action: Action, *reports: str, **more: Any) -> Row:
    """A tool's call is answered so."""
    return Row(name, reports, scripted({"tools/call": action}), **{"wanted": "3", **more})


def error(name: str, action: Action, *reports: str) -> Row:
    """A tool's call is answered with an error of these words."""
    gets = "an error that says so"
    return answer(name, action, *reports, wanted="disk is full", gets=gets, is_error=True)


def json_of(**members: Any) -> Action:
    """Answer with these members in place of the right ones; a function is called with the right one."""

    def action(exchange: Exchange) -> None:
        right = message(exchange)
        for name, value in members.items():
            right[name] = value(right[name]) if callable(value) else value
        exchange.json(right)

    return action


def refusal(**members: Any) -> Action:
    """Answer with an error and these members."""

    def action(exchange: Exchange) -> None:
        full = {"code": -32000, "message": "disk is full"}
        exchange.json({"jsonrpc": "2.0", "id": exchange.id, "error": full, **members})

    return action


def written(change: Callable[[str], str | bytes], content_type: str = "application/json") -> Action:
    """Answer with the right text, changed."""
    return lambda exchange: exchange.status(200, change(json.dumps(message(exchange))), content_type)


def events(text: str) -> str:
    return f"event: message\ndata: {text}\n\n"


def cut_event(exchange: Exchange) -> None:
    data = f"data: {json.dumps(message(exchange))}\n".encode()
    exchange.stream().raw(b"%x\r\n%b\r\n%b" % (len(data), data, END_OF_STREAM))


def half_a_pair(exchange: Exchange) -> None:
    exchange.status(200, json.dumps(message(exchange)).replace('"3"', r'"3\ud83d"'), "application/json")


def not_a_number(exchange: Exchange) -> None:
    result = {**message(exchange)["result"], "structuredContent": {"ratio": float("nan")}}
    exchange.json({"jsonrpc": "2.0", "id": exchange.id, "result": result})


async def ratio(session: Session) -> str:
    structured = await session.structured("echo")
    return str(structured["ratio"])


async def with_progress(session: Session) -> list[float]:
    """Return the progress that a call has reported."""
    heard: list[float] = []
    await session.call("add", {"a": 1, "b": 2}, on_progress=heard.append)
    return heard


def token_as_text(exchange: Exchange) -> None:
    token = str(exchange.seen.params["_meta"]["progressToken"])
    exchange.stream().notify("notifications/progress", progressToken=token, progress=0.5)
    exchange.answer()


ENVELOPE = Kind(
    "The envelope is read liberally",
    (
        answer("The id comes back as text", json_of(id=str), PYTHON_SDK),
        answer("The id comes back as `3.0`", json_of(id=float), PYTHON_SDK),
        Row(
            "The token of progress comes back as text",
            (PYTHON_SDK,),
            scripted({"tools/call": token_as_text}, ask=with_progress),
            [0.5],
            "the progress, and the result",
        ),
        answer("A result has `error: null` beside it", json_of(error=None), WAZUH),
        answer("A result comes as an array of one", written(lambda text: f"[{text}]"), WAZUH),
        error("An error has `result: null` beside it", refusal(result=None)),
        error("An error is a text", refusal(error="the disk is full")),
        error(
            "The code of an error is a text",
            refusal(error={"code": "E_DISK", "message": "disk is full"}),
        ),
        error("An error has the id `null`", refusal(id=None), "modelcontextprotocol/java-sdk#506"),
        answer("A text has half a surrogate pair", half_a_pair, PLAYWRIGHT, wanted="3\ufffd"),
        answer(
            "A byte order mark comes before the JSON",
            written(lambda text: b"\xef\xbb\xbf" + text.encode()),
            "modelcontextprotocol/typescript-sdk#2790",
        ),
        Row(
            "A result has `NaN`",
            ("modelcontextprotocol/python-sdk#3385",),
            scripted({"tools/call": not_a_number}, ask=ratio),
            "nan",
            "the number",
        ),
        answer("The stream ends without its last blank line", cut_event),
        answer(
            "JSON is labelled `text/plain`",
            written(str, "text/plain; charset=utf-8"),
            "ballerina-platform/ballerina-library#8090",
        ),
        answer(
            "JSON is labelled `application/octet-stream`",
            written(str, "application/octet-stream"),
            "ballerina-platform/ballerina-library#8090",
        ),
        answer(
            "Events are labelled JSON",
            written(events),
            "ThinkInAIXYZ/go-mcp#200",
        ),
        answer("JSON is labelled as events", written(str, "text/event-stream"), "ThinkInAIXYZ/go-mcp#200"),
    ),
)

# ---- lists -------------------------------------------------------------------------------------


async def tools(session: Session) -> list[str]:
    return await session.tools()


def listed(name: str, result: Result, report: str, wanted: list[str], gets: str) -> Row:
    """``tools/list`` has this result."""

    async def play(client: Client) -> object:
        with StrictServer() as server:
            server.results["tools/list"] = result
            async with client.open(server.url) as session:
                return await session.tools()

    return Row(name, (report,), play, wanted, gets)


GOOD_TOOL = {"name": "good", "inputSchema": {"type": "object"}}


ONE_BAD_TOOL = "NousResearch/hermes-agent#101804"


def bad_tool(what: str, report: str, both: bool = True, **members: Any) -> Row:
    """A tool of two has these members; without ``both`` it is of no use then."""
    whole = {**GOOD_TOOL, "name": "bad", **members}
    bad = {key: value for key, value in whole.items() if value is not ...}
    wanted = ["bad", "good"] if both else ["good"]
    gets = "both tools" if both else "the other tool"
    return listed(f"One tool of two has {what}", {"tools": [bad, GOOD_TOOL]}, report, wanted, gets)


def next_cursor(value: Any) -> Result:
    return lambda _exchange, params: {
        "tools": [{**GOOD_TOOL, "name": "again" if params.get("cursor") else "good"}],
        "nextCursor": value,
    }


LISTS = Kind(
    "A bad entry costs itself",
    (
        bad_tool("a `title` that is a number", ONE_BAD_TOOL, title=5),
        bad_tool("a `description` that is an object", ONE_BAD_TOOL, description={"en": "Adds"}),
        bad_tool("an `outputSchema` that is a text", "ThinkInAIXYZ/deepchat#2075", outputSchema="object"),
        bad_tool("no `inputSchema`", "mastra-ai/mastra#21859", inputSchema=...),
        bad_tool("no `name`", ONE_BAD_TOOL, False, name=...),
        listed(
            "`nextCursor` is a number",
            next_cursor(5),
            "DeusData/codebase-memory-mcp#1247",
            ["good"],
            "the page so far",
        ),
        listed(
            "`nextCursor` stands still",
            next_cursor("same"),
            "DeusData/codebase-memory-mcp#1247",
            ["good", "again"],
            "the pages so far",
        ),
    ),
)

# ---- forgotten sessions --------------------------------------------------------------------------


def forgotten(name: str, action: Action, *reports: str) -> Row:
    """The server forgets the session, and says so in its own way."""

    async def play(client: Client) -> object:
        with StrictServer(HANDSHAKE) as server:
            async with client.open(server.url) as session:
                await add(session)
                server.forget_sessions()
                for method in ("tools/call", "tools/list"):
                    server.script(method, action)
                return await add(session)

    return Row(f"A forgotten session is told with {name}", reports, play, "3", "the result, in a new session")


def as_json(status: int, code: int, words: str) -> Action:
    return lambda exchange: exchange.error(code, words, status=status)


SESSIONS = Kind(
    "A forgotten session in any words",
    (
        forgotten(
            "404, as the specification has it",
            as_json(404, -32001, "Session not found"),
            "modelcontextprotocol/python-sdk#2584",
        ),
        forgotten("404 and a text", refused(404, "no such session"), "punkpeye/mcp-remote#106"),
        forgotten("409", as_json(409, -32000, "Unknown session"), "quazardous/nelson-mcp#38"),
        forgotten("410", refused(410, "session expired"), "quazardous/nelson-mcp#38"),
        forgotten("422", refused(422, "Unexpected message, expect initialize request")),
        forgotten(
            "400 and -32000",
            as_json(400, -32000, "Bad Request: No valid session ID provided"),
            "modelcontextprotocol/typescript-sdk#1476",
        ),
        forgotten("400 and a text", refused(400, "Invalid session ID"), "punkpeye/fastmcp#121"),
        forgotten(
            "200 and -32600",
            as_json(200, -32600, "Invalid session ID: 83c6"),
            "robert7/remnote-mcp-server#1",
        ),
    ),
)

# ---- bytes, compression, statuses -------------------------------------------------------------------

RAW = bytes(range(256))


def resource(name: str, form: Callable[[bytes], str], *reports: str) -> Row:
    """The bytes of a resource are written so."""
    contents = {"contents": [{"uri": "file:///a", "mimeType": "image/png", "blob": form(RAW)}]}

    async def play(client: Client) -> object:
        with StrictServer() as server:
            server.results["resources/read"] = contents
            async with client.open(server.url) as session:
                data = await session.read("file:///a")
        return "the bytes" if data == RAW else "other bytes"

    return Row(f"The bytes of a resource are base64 {name}", reports, play, "the bytes", "the bytes")


def plain(data: bytes) -> str:
    return base64.b64encode(data).decode()


BYTES = Kind(
    "Bytes as others write them",
    (
        resource(
            "with line breaks",
            lambda data: base64.encodebytes(data).decode().replace("\n", "\r\n"),
            "langchain4j/langchain4j#6279",
        ),
        resource(
            "of the URL-safe alphabet",
            lambda data: base64.urlsafe_b64encode(data).decode(),
            "modelcontextprotocol/python-sdk#342",
        ),
        resource(
            "without padding", lambda data: plain(data).rstrip("="), "modelcontextprotocol/python-sdk#342"
        ),
        resource(
            "in a `data:` URI",
            lambda data: "data:image/png;base64," + plain(data),
            "nota/gyazo-mcp-server#129",
        ),
    ),
)


def compressed(name: str, compress: Callable[[bytes], bytes]) -> Row:
    """An answer is compressed though nobody asked for that."""

    def action(exchange: Exchange) -> None:
        body = compress(json.dumps(message(exchange)).encode())
        head = f"Content-Encoding: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
        exchange.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head.encode() + body)

    return answer(f"An answer comes as `{name}` unasked", action, "openai/codex#37228")


COMPRESSION = Kind(
    "Compression",
    (
        compressed("gzip", gzip.compress),
        compressed("deflate", zlib.compress),
    ),
)


def status(code: int) -> Row:
    """A list is asked for while there is something in the way for a moment."""
    play = scripted({"tools/list": refused(code)}, ask=tools)
    return Row(
        f"A list is answered with {code} once", ("earendil-works/pi#9627",), play, ["add", "echo"], "the list"
    )


STATUSES = Kind("Statuses of Cloudflare and its kin", (status(520), status(522), status(524), status(502)))
