"""Every place where a peer's bytes enter: the client's, the gateway's, the command line's.

An entry takes what the peer named before and what it says now, and does with both what the library
does. An error that the library raises of them is an answer like any other.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from routermcp._structured import parse_typed
from routermcp.cli import output
from routermcp.cli.arguments.schema import describe_arguments
from routermcp.gateway.access_tokens.checker import TokenRules, check_token
from routermcp.gateway.access_tokens.refusals import TokenRefusedError
from routermcp.gateway.access_tokens.signatures import read_key_set
from routermcp.gateway.catalog import tool_search, uri_templates
from routermcp.gateway.http import asgi, validation
from routermcp.types import ToolResult
from routermcp_proto import calls, jsonrpc
from routermcp_proto.events import HTTPRefused
from routermcp_proto.exceptions import MCPError, RPCError, printable
from routermcp_proto.framing import LineDecoder
from routermcp_proto.http import exchange, header_values, lost_session, numbers, outcomes, refusals
from routermcp_proto.http.compression import Decompressor
from routermcp_proto.http.fast_reader import DirectResponseReader
from routermcp_proto.http.h11_reader import H11ResponseReader
from routermcp_proto.http.reader import (
    MAX_HEAD_SIZE,
    NEED_DATA,
    EndOfBody,
    ResponseHead,
    ResponseReader,
)
from routermcp_proto.http.sse import SSEDecoder
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.oauth import challenges, code_grant, metadata, steps, tokens, urls
from routermcp_proto.redaction import without
from routermcp_proto.types.parameter_headers import declared_headers
from tests.proto.pair import Pair
from tests.security.shapes import COMMON

Take = Callable[[str, str], object]

#: Bytes of a piece that a socket gives at once; one of a single byte costs a call for each.
PIECES = (1460, 65536)

ISSUER = "https://issuer.example"
JSON_PIECES = (
    "[",
    "]",
    "{",
    "}",
    "[],",
    "{},",
    '{"a":1},',
    '"a":',
    "null",
    "1e9",
    "\\u0000",
    "\\ud800",
    "[[",
)
MARKUP = ("%41", "&#65;", "&amp;", "\\u0041", "+", "\\\\", "%", "&")
TEXT_FRAMES = (("", ""), ('"', '"'), ("{", "}"))


#: Seconds of CPU time after which an input is given up. Nothing in the budget comes near.
GIVEN_UP = 2.0

#: The same for an entry that is dear on purpose, and is not to be waited for.
PLANTED_GIVEN_UP = 0.3


@dataclass(frozen=True)
class Entry:
    """A place where a peer's bytes enter."""

    name: str
    take: Take
    pieces: Sequence[str] = ()
    """Pieces that have a meaning there."""
    frames: Sequence[tuple[str, str]] = field(default=(("", ""),))
    """What may stand around the input."""
    common: Sequence[str] = COMMON
    """Pieces that have one everywhere."""
    large: int = 0
    """Inputs whose memory is measured."""
    most: int = sys.maxsize
    """Characters of the longest input that can come there."""
    given_up: float = GIVEN_UP
    """Seconds of CPU time after which an input is given up."""


ENTRIES: list[Entry] = []


def entry(
    name: str,
    pieces: Sequence[str] = (),
    frames: Sequence[tuple[str, str]] = (("", ""),),
    *,
    common: Sequence[str] = COMMON,
    large: int = 0,
    most: int = sys.maxsize,
) -> Callable[[Take], Take]:
    """Make an entry of a function; an error of the library is an answer."""

    def add(take: Take) -> Take:
        def taken(named: str, said: str) -> None:
            with contextlib.suppress(MCPError, asgi.Rejected):
                take(named, said)

        ENTRIES.append(Entry(name, taken, pieces, frames, common, large, most))
        return take

    return add


def cut(data: bytes) -> Iterator[bytes]:
    """Cut bytes into pieces, those of odd length into small ones."""
    size = PIECES[len(data) % 2]
    for start in range(0, len(data), size):
        yield data[start : start + size]


def document(text: str) -> Any:
    """Return the JSON value in a text, or the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


# ---- framing -------------------------------------------------------------------------------------

HEADS = (
    ("", ""),
    ("HTTP/1.1 200 OK\r\n", "\r\n\r\n"),
    ("HTTP/1.1 200 OK\r\nContent-Length: ", "\r\n\r\n"),
    ("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", ""),
    ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
)
HEAD_PIECES = (
    "HTTP/1.1 ",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "1\r\na\r\n",
    "0\r\n\r\n",
    ";a=b",
    "A: b\r\n",
    "\n\r\n",
)


def read_all(reader: ResponseReader, data: bytes) -> None:
    """Read answers, as a connection does that is kept."""
    reader.start(b"POST")
    for piece in [*cut(data), b""]:
        reader.receive_data(piece)
        while (item := reader.next_event()) is not NEED_DATA:
            if isinstance(item, EndOfBody):
                return


@entry("reader", HEAD_PIECES, HEADS)
def _reader(named: str, said: str) -> None:
    read_all(DirectResponseReader(), said.encode("latin-1", "replace"))


@entry("reader with h11", HEAD_PIECES, HEADS)
def _h11_reader(named: str, said: str) -> None:
    read_all(H11ResponseReader(), said.encode("latin-1", "replace"))


@entry("events", ("data:", "data: a\n\n", "id:", "retry:", "\r", "\0", "\n\n", "event: message"), large=1)
def _events(named: str, said: str) -> None:
    decoder = SSEDecoder()
    for piece in cut(said.encode("utf-8", "replace")):
        decoder.receive_data(piece)
    decoder.receive_eof()


@entry("lines", ("\r", "\n\n"))
def _lines(named: str, said: str) -> None:
    decoder = LineDecoder()
    for piece in cut(said.encode("utf-8", "replace")):
        decoder.receive_data(piece)
    decoder.receive_eof()


@entry("compressed bodies", ("\0", "\0\0\0\0"))
def _compressed(named: str, said: str) -> None:
    decompressor = Decompressor("deflate")
    for _ in decompressor.receive_data(zlib.compress(said.encode("utf-8", "replace"))):
        pass
    for _ in Decompressor("gzip").receive_data(said.encode("utf-8", "replace")):
        pass


# ---- messages ------------------------------------------------------------------------------------

RESULT = '{"jsonrpc":"2.0","id":1,"result":%s}'
MESSAGES = (
    ("", ""),
    ("[", "]"),
    ("[" * 150, "]" * 150),
    ('{"jsonrpc":"2.0","id":1,"result":{"content":[', '{"type":"text","text":"a"}]}}'),
    ('{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"', '"}}'),
    ('{"jsonrpc":"2.0","id":"', '","error":[0]}'),
    ('{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"', '"}}'),
)


@entry("JSON-RPC", JSON_PIECES, MESSAGES, large=2)
def _decode(named: str, said: str) -> None:
    jsonrpc.decode(said.encode("utf-8", "surrogatepass"), batches=True)


@entry("JSON answers", (*JSON_PIECES, *MARKUP), MESSAGES)
def _json_answer(named: str, said: str) -> None:
    _answer(b"application/json", 200, named, said)


@entry("event answers", (*MARKUP, "data: {}\n\n", "data:", '{"a":1}'), (("data: ", "\n\n"), *MESSAGES))
def _event_answer(named: str, said: str) -> None:
    _answer(b"text/event-stream", 200, named, said)


@entry("refusals", (*MARKUP, "session", "no ", "{"), (*TEXT_FRAMES, *MESSAGES))
def _refusal(named: str, said: str) -> None:
    _answer(b"text/html", 400, named, said)


def _answer(kind: bytes, status: int, named: str, said: str) -> None:
    pair = Pair("2025-11-25")
    pair.connect()
    request = pair.client.start_request(calls.ping())
    answer = exchange.MCPExchange(pair.client, request.request_id)
    answer.secrets = lambda: [named]
    answer.receive_head(ResponseHead(status, ((b"content-type", kind), (b"www-authenticate", kind))))
    for piece in cut(said.encode("utf-8", "replace")):
        answer.receive_data(piece)
    for event in answer.receive_end():
        if isinstance(event, HTTPRefused):
            lost_session.judge(event, named)
            str(outcomes.refusal_error(event, ISSUER))


@entry("requests to the gateway", JSON_PIECES, MESSAGES)
def _request(named: str, said: str) -> None:
    server = Pair().server
    for piece in cut(said.encode("utf-8", "replace") + b"\n"):
        server.receive_data(piece)
        server.events_received()
        server.data_to_send()


LISTS = (
    ("", ""),
    *((f'{{"{member}":[', "]}") for member in ("tools", "resources", "prompts", "content", "messages")),
    ('{"tools":[{"name":"a","inputSchema":', "}]}"),
    ('{"tools":[{"name":"a","description":"', '"}]}'),
)
LIST_PIECES = (
    "[],",
    "{},",
    "1,",
    '"a",',
    '{"name":"a"},',
    '{"name":1},',
    '{"name":"a","title":1},',
    '{"uri":"a:b","name":"a"},',
    '{"name":"a","inputSchema":{"properties":{"a":{}}}},',
)


@entry("lists", LIST_PIECES, LISTS, common=(), large=2)
def _lists(named: str, said: str) -> None:
    result = document(said.replace(",]", "]"))  # the last one has no comma
    if isinstance(result, dict):
        for call in (calls.list_tools(), calls.list_resources(), calls.list_prompts()):
            with contextlib.suppress(MCPError):
                call.parse(result)


@entry("results", LIST_PIECES, LISTS, common=())
def _results(named: str, said: str) -> None:
    result = calls.call_tool("a").parse({"content": [{"type": "text", "text": said}, {"type": named}]}).value
    assert isinstance(result.text, str), result
    assert isinstance(result.images, list), result
    one = ToolResult(content=[{"type": "text", "text": said}])
    assert one.data is None or one.data != ""
    for model in (dict[str, int], list[int], int, float, str):
        with contextlib.suppress(MCPError):
            parse_typed("a", one, model)


@entry(
    "schemas", ('{"properties":', '"x-mcp-header":"a",', '"$ref":"#",', *JSON_PIECES), (("{", "}"), ("", ""))
)
def _schemas(named: str, said: str) -> None:
    schema = document(said)
    if isinstance(schema, dict):
        describe_arguments(schema)
        headers = declared_headers({"properties": {"a": schema}, "x": named})
        header_values.parameter_headers(headers, {"a": said})


# ---- headers and URLs ----------------------------------------------------------------------------


@entry("challenges", ('a="', "a=b", 'a="b,', "Bearer ", "Bearer realm=", "DPoP ", "a "), most=MAX_HEAD_SIZE)
def _challenges(named: str, said: str) -> None:
    parsed = challenges.parse_challenges([named, *said.split("\n")])
    challenges.for_tokens(parsed)


@entry(
    "header values",
    ("=?base64?", "?=", "*/*,", "application/json", "q=1", "Mon, ", "GMT"),
    most=MAX_HEAD_SIZE,
)
def _header_values(named: str, said: str) -> None:
    header_values.decode_header_value(f"=?base64?{said}?=")
    waits = said.encode("latin-1", "replace")
    refusals.retry_after(ResponseHead(503, ((b"retry-after", waits), (b"date", waits))))
    numbers.whole_number(said, 10)
    numbers.finite_number(said)
    validation.check_accept(
        asgi.RequestHead({"method": "POST", "path": "/", "headers": [(b"accept", said.encode("utf-8"))]}),
        "application/json",
    )


@entry(
    "URLs",
    ("http://", "@", "#", "//", "..", "xn--", "[", "]", "%2f", ":80"),
    (("", ""), ("https://a.example/", ""), ("https://", "/")),
    most=MAX_HEAD_SIZE,
)
def _urls(named: str, said: str) -> None:
    with contextlib.suppress(MCPError):
        EndpointURL.parse(said)
    with contextlib.suppress(MCPError):
        EndpointURL.parse(ISSUER).resolve(said)
    urls.covers(said, named)
    urls.same_issuer(said, named)
    code_grant.state_of(said)
    with contextlib.suppress(MCPError):
        code_grant.code_from(f"http://127.0.0.1/?{said}", named, {"issuer": ISSUER})


_TOKEN_KEYS = read_key_set({"keys": [{"kty": "oct", "k": "A" * 43}]})
_TOKEN_RULES = TokenRules(ISSUER, frozenset({"gateway"}), frozenset({"HS256"}))
_CLAIMS = (("", ""), (f'{{"iss":"{ISSUER}",', "}"))


@entry("access tokens", (*JSON_PIECES, '"exp":', '"aud":[', '"scope":"'), _CLAIMS, most=12_000)
def _access_tokens(named: str, said: str) -> None:
    parts = (b'{"alg":"HS256"}', said.encode("utf-8", "replace"), named.encode("utf-8", "replace")[:32])
    token = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    with contextlib.suppress(TokenRefusedError):
        check_token(token, _TOKEN_KEYS, _TOKEN_RULES, 0.0)


@entry("templates", ("{", "}", "{a}", "{+a}", "a/"))
def _templates(named: str, said: str) -> None:
    uri_templates.template_fit(named, said)
    uri_templates.template_fit(said, named)


# ---- signing in ----------------------------------------------------------------------------------

MEMBERS = (
    "issuer",
    "token_endpoint",
    "scopes_supported",
    "error",
    "error_description",
    "access_token",
    "scope",
)
DOCUMENTS = (*((f'{{"{member}":"', '"}') for member in MEMBERS), ('{"scopes_supported":[', "]}"))


@entry("documents of OAuth", (*MARKUP, '"a",', "read ", "https://"), DOCUMENTS)
def _documents(named: str, said: str) -> None:
    answer = steps.HTTPAnswer(400, {}, said.encode("utf-8", "replace"))
    found = steps.json_object(answer) or {}
    known = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "resource": ISSUER}
    for read in (
        lambda: metadata.server_metadata({**found}, ISSUER),
        lambda: metadata.server_metadata({**found, **known}, ISSUER),
        lambda: metadata.resource_metadata({**found, **known}, ISSUER),
    ):
        with contextlib.suppress(MCPError):
            read()
    str(tokens.refused(ISSUER, 400, found, [named]))
    steps.seconds(said)


@entry("redaction", MARKUP, TEXT_FRAMES, large=1)
def _redaction(named: str, said: str) -> None:
    without(said, [named, named[:100], "secret-secret"])
    without({said: [said]}, [named], shortest=1)


# ---- what people see -----------------------------------------------------------------------------


@entry("command line", ("\x1b[31m", "\x9b", "\0", "界", "👩\u200d", "[red]"), (*TEXT_FRAMES, *LISTS))
def _command_line(named: str, said: str) -> None:
    printable(said)
    str(RPCError(said, data=named))
    with contextlib.redirect_stdout(io.StringIO()):
        output.write_json({"a": said})
        output.write_text(said)
        output.write_table(["a", "b"], [[said, named]], none="")


@entry("search for tools", ("aB", "_", ".", "a_", "OR ", "NEAR("))
def _search(named: str, said: str) -> None:
    index = tool_search.SearchIndex([tool_search.Document(named, said, named)])
    index.search(said, 10)
    index.search(named, 10)
    index.close()


# ---- mistakes, to see that they are found --------------------------------------------------------

_NESTED = re.compile(r"(?:[^!]|[^!]{2})+!")


def _quadratic(named: str, said: str) -> None:
    for start in range(len(said)):
        said[start:].casefold().casefold().casefold().casefold()


def _hoarding(named: str, said: str) -> None:
    assert [[character] for character in said]


PLANTED = [
    Entry("quadratic", _quadratic, given_up=PLANTED_GIVEN_UP),
    Entry("exponential", lambda named, said: _NESTED.match(said), given_up=PLANTED_GIVEN_UP),
    Entry("hoarding", _hoarding, large=1),
    Entry("raising", lambda named, said: said[len(said)]),
]
"""Entries that are dear on purpose, or raise what is not the library's."""
