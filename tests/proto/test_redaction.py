"""Secrets that come back are taken out of what people are shown."""

from __future__ import annotations

import html
import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto import calls
from routermcp_proto.events import (
    ConnectionFailed,
    ErrorReceived,
    Event,
    HTTPAccepted,
    MessageDropped,
    ResponseRejected,
)
from routermcp_proto.exceptions import RemoteProtocolError, ResponseValidationError, RPCError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.redaction import CUT, MAX_TEXT, MIN_SECRET_LENGTH, hide_in, is_secret, redacted, without

SECRET = 'pass word/"1"'


def hexadecimal(text: str) -> str:
    return "".join(letter if letter.isalnum() else f"%{ord(letter):02x}" for letter in text)


def numbered(text: str) -> str:
    return "".join(letter if letter.isalnum() else f"&#{ord(letter)};" for letter in text)


WRITINGS = [
    str,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    hexadecimal,
    numbered,
    html.escape,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),  # as PHP writes it
    lambda text: text.replace("=", "\\u003d").replace("+", "\\u002B"),  # as .NET and Gson do
]


@pytest.mark.parametrize("write", WRITINGS)
def test_a_secret_is_found_however_it_is_written(write: Any) -> None:
    for secret in (SECRET, "abEF12/34ij+78mnOP==", "<pä&ss>-wörd"):
        assert without(f"you sent {write(secret)}!", [secret]) == "you sent ***!"
        assert without(f"you sent {write(secret)}!".encode(), [secret]) == b"you sent ***!"


def test_a_secret_that_looks_like_an_escape_is_found() -> None:
    for secret in ("ab%41cdef", "xx&#66;efgh", "a\\b\\c\\defg", "x\\u0041\\u0042", "&amp;&amp;&#1114112;"):
        for write in (str, quote, html.escape, lambda text: json.dumps(text)[1:-1]):
            assert without(f"> {write(secret)} <", [secret]) == "> *** <"


@pytest.mark.parametrize(
    "text", ["%zz", "%e4%", "&#9999999999;", "&#xffffffffff;", "\\", "\\u12", "&lt", "+"]
)
def test_what_only_begins_like_an_escape_is_left_alone(text: str) -> None:
    assert without(f"{text} abcdefg {text}", ["abcdefg"]) == f"{text} *** {text}"
    assert without(text, ["abcdefg"]) == text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("\\" * 40 + "x", "\\" * 400_000 + "y"),
        ("a" * 30_000 + "b", "a" * 100_000),
        ("%41" * 10_000 + "b", "%41" * 100_000),
        ("&#65;" * 1_000 + "b", "&#65;" * 50_000),
        ("+" * 1_000 + "b", "+ " * 200_000),
    ],
)
def test_a_hostile_secret_takes_linear_time(secret: str, text: str) -> None:
    """A pattern made of the secret would take hours."""
    assert without(text, [secret]) == text


@pytest.mark.timeout(20)
def test_many_messages_are_searched_for_a_hostile_secret_that_is_read_once() -> None:
    """Reading it for each of them would take minutes."""
    secret = "\\u0041" * 5_000
    assert {without("odd", [secret]) for _ in range(50_000)} == {"odd"}


def test_secrets_that_overlap_are_both_hidden() -> None:
    assert without("> abc+def+ghi+jkl <", ["abc def ghi", "ghi jkl", "def ghi jkl"]) == "> *** <"


def test_no_more_is_searched_than_anybody_reads() -> None:
    said = ["x" * MAX_TEXT + "y", ["abcdefg"], b"abcdefg", 1]
    assert without(said, ["abcdefg"]) == ["x" * MAX_TEXT + CUT, [CUT], CUT.encode(), 1]


def test_any_json_is_looked_through() -> None:
    said = {"a": [1, None, SECRET], SECRET: {"b": (SECRET, True)}, "c": b"x password"}
    hidden = {"a": [1, None, "***"], "***": {"b": ("***", True)}, "c": b"x ***"}
    assert without(said, [SECRET, "password"]) == hidden


def test_a_page_that_has_to_be_opened_stays_whole() -> None:
    page = {"elicitations": [{"url": f"https://h/?at={SECRET}", "message": SECRET}]}
    shown = without(page, [SECRET])["elicitations"][0]
    assert shown == {"url": f"https://h/?at={SECRET}", "message": "***"}


def test_what_is_too_short_to_be_a_secret_stays() -> None:
    short = "x" * (MIN_SECRET_LENGTH - 1)
    assert without(f"a{short}b", [short, ""]) == f"a{short}b"
    assert without(f"a{short}xb", [short + "x"]) == "a***b"
    assert without("asb", ["s", ""], shortest=1) == "a***b"


def test_a_long_secret_goes_before_one_inside_it() -> None:
    assert without("Bearer abcdefgh-1", ["abcdefgh", "Bearer abcdefgh-1"]) == "***"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[
            (name, True)
            for name in ("Authorization", "X-Api-Key", "apiKey", "x-auth-token", "Cookie", "DPoP")
        ],
        *[
            (name, True)
            for name in ("client_secret", "refresh_token", "X-Pwd", "code", "sig", "X-Credential")
        ],
        *[
            (name, False)
            for name in ("Accept", "max_tokens", "X-Author", "authority", "keywords", "encoding")
        ],
    ],
)
def test_names_tell_what_is_secret(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


@given(
    st.lists(st.text("abcd ", min_size=MIN_SECRET_LENGTH, max_size=12), max_size=4),
    st.text("abcd ", max_size=40),
)
def test_nothing_of_a_secret_is_left(secrets: list[str], said: str) -> None:
    hidden = without(said, secrets)
    assert not any(secret in hidden for secret in secrets)


def test_an_error_and_what_it_came_from() -> None:
    error = RPCError(f"no {SECRET}", code=1, data={"x": [SECRET]}, about="call")
    error.__cause__ = ValueError(SECRET, 3)
    hide_in(error, [SECRET])
    assert str(error) == "call: no *** (code 1)"
    assert (error.message, error.data, error.code) == ("no ***", {"x": ["***"]}, 1)
    assert error.__cause__.args == ("***", 3)


def test_errors_that_come_from_each_other() -> None:
    first, second = ValueError(SECRET), ValueError(SECRET)
    first.__cause__, second.__cause__ = second, first
    hide_in(first, [SECRET])
    assert (first.args, second.args) == (("***",), ("***",))


class Stern(Exception):
    """An error of others that lets nobody change it."""

    def __init__(self, why: str) -> None:
        super().__init__("no")
        vars(self)["why"] = why

    @property
    def why(self) -> str:
        return vars(self)["why"]


def test_an_error_that_cannot_be_changed_is_all_the_same() -> None:
    error = Stern(SECRET)
    hide_in(error, [SECRET])
    assert error.why == "***"


def test_an_error_stays_as_it_is_where_there_are_no_secrets() -> None:
    error = RPCError("no", code=1)
    hide_in(error, [])
    assert str(error) == "no (code 1)"


@pytest.mark.parametrize(
    "event",
    [
        ErrorReceived(1, ErrorObject(-1, f"no {SECRET}", {"sent": SECRET}), calls.list_tools()),
        ConnectionFailed(RemoteProtocolError(f"no {SECRET}")),
        ResponseRejected(1, ResponseValidationError("no", method="m", problems=(SECRET,))),
        MessageDropped(f"no {SECRET}"),
    ],
)
def test_events(event: Event) -> None:
    hidden = redacted(event, lambda: [SECRET])
    assert "pass" not in repr(hidden)
    assert "pass" not in repr(getattr(getattr(hidden, "error", None), "problems", ()))


def test_other_events_are_left_alone() -> None:
    event = HTTPAccepted(202)
    assert redacted(event, lambda: [SECRET]) is event
