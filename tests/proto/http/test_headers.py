from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.http.header_values import is_visible
from routermcp_proto.http.headers import MAX_NAME_SHOWN, HeaderBlock, HTTPRequest

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NAMES = st.text(st.sampled_from(TOKEN), min_size=1, max_size=10)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\t"), max_size=20).map(
    lambda value: value.strip(" \t")
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


def as_bytes(pairs: list[tuple[str, str]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode()) for name, value in pairs)


@given(PAIRS, PAIRS)
def test_pairs_make_the_trip_through_lines(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    block = HeaderBlock(first)
    assert block.pairs == as_bytes(first)
    assert block.names() == tuple(name.lower() for name, _ in as_bytes(first))
    assert HeaderBlock(block.pairs).raw == block.raw
    assert HeaderBlock.of_checked(block.raw).pairs == block.pairs
    assert (block + HeaderBlock(second)).pairs == as_bytes(first + second)


@given(PAIRS)
def test_another_parser_reads_the_same(pairs: list[tuple[str, str]]) -> None:
    special = ("content-length", "transfer-encoding", "host", "connection", "expect")
    block = HeaderBlock([pair for pair in pairs if pair[0].lower() not in special])
    server = h11.Connection(h11.SERVER)
    server.receive_data(HTTPRequest(b"POST", b"/", HeaderBlock([("Host", "h")]) + block).to_bytes())
    request = server.next_event()
    assert isinstance(request, h11.Request)
    assert tuple(request.headers.raw_items())[1:] == block.pairs


def test_lines() -> None:
    block = HeaderBlock([("Accept", "a, b"), (b"X-Empty", b""), ("X", b"y: z")])
    assert block.raw == b"Accept: a, b\r\nX-Empty: \r\nX: y: z\r\n"
    assert block.pairs == ((b"Accept", b"a, b"), (b"X-Empty", b""), (b"X", b"y: z"))
    assert HeaderBlock().raw == b""
    assert HeaderBlock().pairs == ()


def test_a_header_is_found_whatever_its_case() -> None:
    block = HeaderBlock([("Accept", "1"), ("accept", "2")])
    assert block.get("ACCEPT") == block.get(b"aCCept") == b"1"
    assert block.get("other") is None
    assert block.get("é") is None


BAD_NAMES = ["", " ", "a b", "a:", ":a", "a\r\nb", "a\n", "\0", "é", "\ud800", "(a)", "a/b", '"a"', "a\x7f"]


@pytest.mark.parametrize("name", [*BAD_NAMES, *[name.encode("utf-8", "surrogatepass") for name in BAD_NAMES]])
def test_a_name_is_a_token(name: str | bytes) -> None:
    with pytest.raises(LocalProtocolError, match=r"is not the name of a header$") as caught:
        HeaderBlock([(name, "hush")])
    assert "hush" not in str(caught.value)


BAD_VALUES = [
    "hush\r\nX: y",
    "hush\n",
    "\rhush",
    "hu\0sh",
    " hush",
    "hush ",
    "\thush",
    "hush\t",
    " ",
    "hush\x7f",
]
BAD_VALUES += ["hush\x01", "hushé", "hush\u2028", "hush\ud800", "\N{FULLWIDTH LATIN SMALL LETTER A}hush"]


@pytest.mark.parametrize(
    "value", [*BAD_VALUES, *[value.encode("utf-8", "surrogatepass") for value in BAD_VALUES]]
)
def test_a_value_is_visible_ascii_and_never_shown(value: str | bytes) -> None:
    with pytest.raises(
        LocalProtocolError, match=r"^the value of the header 'X-Name' may have visible ASCII"
    ) as caught:
        HeaderBlock([("X-Name", value)])
    assert "hush" not in str(caught.value)


def test_a_line_that_is_given_as_a_name_does_not_show_its_value() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        HeaderBlock([("Authorization: Bearer hush", "x")])
    assert str(caught.value) == "'Authorization' is not the name of a header"
    with pytest.raises(LocalProtocolError) as caught:
        HeaderBlock([("x y" * 1000, "x")])
    assert len(str(caught.value)) < MAX_NAME_SHOWN + 50


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (None, "hush", "the name of a header is text, not NoneType"),
        (1, "hush", "the name of a header is text, not int"),
        ("A", None, "the value of the header 'A' is text, not NoneType"),
        ("A", ["hush"], "the value of the header 'A' is text, not list"),
    ],
)
def test_names_and_values_are_text(name: Any, value: Any, problem: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        HeaderBlock([(name, value)])
    assert str(caught.value) == problem


SECRETS = [
    "Authorization",
    "proxy-authorization",
    "Cookie",
    "MCP-Session-Id",
    "X-API-Key",
    "x-token",
    "My-Secret",
    "X-Auth",
]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_hidden(name: str) -> None:
    block = HeaderBlock([("Accept", "shown"), (name, "hush")])
    request = HTTPRequest(b"POST", b"/mcp?key=hush", block, b"hush")
    for text in (repr(block), str(block), repr(request), str(request)):
        assert "hush" not in text
        assert f"{name}: ***" in text
        assert "Accept: shown" in text
    assert block.get(name) == b"hush"


def test_a_request_is_one_piece() -> None:
    headers = HeaderBlock([("Host", "h"), ("Content-Length", "2")])
    request = HTTPRequest(b"POST", b"/mcp?a=b", headers, b"{}")
    assert request.to_bytes() == b"POST /mcp?a=b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
    assert HTTPRequest(b"GET", b"/", HeaderBlock()).to_bytes() == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        (("Authorization", "Bearer abc.def"), {"Bearer abc.def", "abc.def"}),
        (("Authorization", "Basic dTpzZXNhbWU="), {"Basic dTpzZXNhbWU=", "dTpzZXNhbWU=", "sesame"}),
        (("Authorization", "Basic x"), {"Basic x", "x"}),
        (("X-API-Key", "rmc_1"), {"rmc_1"}),
        (
            ("Authorization", "Basic dTpzw6lzYW1l"),
            {"Basic dTpzw6lzYW1l", "dTpzw6lzYW1l", "sésame", "sÃ©same"},
        ),
        (("Authorization", 'S3 a=1, sig="b"'), {'S3 a=1, sig="b"', 'a=1, sig="b"', "1", "b"}),
        (("cookie", 'a=one; b="two"'), {'a=one; b="two"', "one", "two"}),
        (("Mcp-Session-Id", "s-1"), set()),
        (("Mcp-Param-Key", "users/42"), set()),
        (("Accept", "text/plain"), set()),
    ],
)
def test_what_a_request_takes_along_is_known(header: tuple[str, str], secrets: set[str]) -> None:
    request = HTTPRequest(b"POST", b"/mcp", HeaderBlock([("Host", "h"), header]))
    assert set(request.secrets()) - {""} == secrets


def test_a_key_in_the_query_is_a_secret() -> None:
    request = HTTPRequest(b"POST", b"/mcp?profile=work&apiKey=a%2Fb%C3%A9&empty", HeaderBlock())
    assert request.secrets() == ("a/b\u00e9",)


@pytest.mark.parametrize(
    ("body", "private", "secrets"),
    [
        (b"grant_type=refresh_token&refresh_token=r-1&client_secret=s%2F1", True, ("r-1", "s/1")),
        (b"grant_type=authorization_code&code=c-1&code_verifier=v-1", True, ("c-1", "v-1")),
        (b"refresh_token=r-1", False, ()),
        (b'{"key": "k=1&token=t"}', True, ()),
    ],
)
def test_a_form_that_is_private_has_secrets(body: bytes, private: bool, secrets: tuple[str, ...]) -> None:
    request = HTTPRequest(b"POST", b"/token", HeaderBlock(), body, private)
    assert request.secrets() == secrets


@pytest.mark.parametrize(
    ("text", "visible"), [("abc~!", True), ("", False), ("a b", False), ("a\x7f", False), ("é", False)]
)
def test_visible_ascii_is_told_from_all_else(text: str, visible: bool) -> None:
    assert is_visible(text) is visible
