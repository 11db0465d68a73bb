from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routermcp_proto.exceptions import LocalProtocolError, RemoteProtocolError
from routermcp_proto.http.url import MAX_URL_LENGTH, MAX_URL_SHOWN, EndpointURL

parse = EndpointURL.parse


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://localhost:8000/mcp", ("http", "localhost", 8000, "/mcp")),
        ("https://example.com", ("https", "example.com", 443, "/")),
        ("http://example.com/", ("http", "example.com", 80, "/")),
        ("HTTPS://Example.COM:/MCP", ("https", "example.com", 443, "/MCP")),
        ("https://example.com:80/", ("https", "example.com", 80, "/")),
        ("http://example.com.", ("http", "example.com.", 80, "/")),
        ("http://my_service-1/a", ("http", "my_service-1", 80, "/a")),
        ("http://127.0.0.1:65535//a//b/", ("http", "127.0.0.1", 65535, "//a//b/")),
        ("http://[::1]:8080/mcp", ("http", "::1", 8080, "/mcp")),
        ("https://[2001:DB8:0:0::1]", ("https", "2001:db8::1", 443, "/")),
        ("https://bücher.example/", ("https", "xn--bcher-kva.example", 443, "/")),
        ("https://Bücher。example/", ("https", "xn--bcher-kva.example", 443, "/")),
        ("http://例え.jp/", ("http", "xn--r8jz45g.jp", 80, "/")),
        ("http://h?a=b", ("http", "h", 80, "/?a=b")),
        ("http://h/p?", ("http", "h", 80, "/p")),
        ("http://h/p#fragment", ("http", "h", 80, "/p")),
        ("http://h#fragment?a", ("http", "h", 80, "/")),
        ("http://h/p?a=b&c=/?:@[]#f", ("http", "h", 80, "/p?a=b&c=/?:@[]")),
        ("http://h/@scope/pkg", ("http", "h", 80, "/@scope/pkg")),
        ("http://h/?user@host", ("http", "h", 80, "/?user@host")),
        ('http://h/é/"<a>"/%2F%41?q=ü', ("http", "h", 80, "/%C3%A9/%22%3Ca%3E%22/%2F%41?q=%C3%BC")),
    ],
)
def test_urls_are_taken_apart(url: str, parts: tuple[str, str, int, str]) -> None:
    endpoint = parse(url)
    assert (endpoint.scheme, endpoint.host, endpoint.port, endpoint.target) == parts
    assert parse(endpoint.url) == endpoint


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "a URL is text such as 'https://example.com/mcp', not NoneType"),
        (b"http://h/?key=hush", "a URL is text such as 'https://example.com/mcp', not bytes"),
        ("", "the URL is empty: write it as 'https://example.com/mcp'"),
        ("http://h/" + "a" * MAX_URL_LENGTH, f"the URL is longer than {MAX_URL_LENGTH} characters"),
        *[
            (url, "the URL contains a space, a backslash or a control character")
            for url in (
                " http://h",
                "http://h ",
                "http://h/a b",
                "http://h\r\nX: y",
                "http://h\t",
                "http://h/\0",
                "http:\\\\h",
                "http://h/\x7f",
                "http://h/\x85",
                "http://h/\xa0",
                "http://h/\u2028",
                "http://h/\ud800",
                "http://\udfff/",
            )
        ],
        (
            "localhost:8000/mcp",
            "the URL 'localhost:8000/mcp' has no scheme: write it as 'http://localhost:8000/mcp' or with https://",
        ),
        (
            "user:hush@h/mcp?hush",
            "the URL 'h/mcp' has no scheme: write it as 'http://h/mcp' or with https://",
        ),
        ("//h#hush", "the URL '//h' has no scheme: write it as 'http:////h' or with https://"),
        ("ftp://h/p?hush", "the URL 'ftp://h/p' has the scheme 'ftp': MCP servers have http:// or https://"),
        ("://h", "the URL '://h' has the scheme '': MCP servers have http:// or https://"),
        (
            "http+unix://h",
            "the URL has no path of a socket: write it as http+unix://%2Frun%2Fmcp.sock/mcp, "
            "with the path percent-encoded",
        ),
        *[
            (url, "the URL contains a user name or password: give api_key= or headers= instead")
            for url in (
                "http://user@h/",
                "http://user:hush@h/",
                "http://:hush@h",
                "http://@h",
                "http://user:hu@sh@h?a",
                "http://user:hush℀@h/",
                "http://user:hush@[h/",
                "http://user#hush@h/",
            )
        ],
        *[
            (
                url,
                "the URL is malformed; it must not contain a user name or password: "
                "give api_key= or headers= instead",
            )
            for url in ("http://user:hu/sh@h/", "http://user:hu?sh@h/", "http://user:hush#@h/")
        ],
        (
            "h/mcp?key=hush&from=http://hush/",
            "the URL 'h/mcp' has the scheme '': MCP servers have http:// or https://",
        ),
        ("http://", "the URL 'http://' has no host"),
        ("http:///mcp?hush", "the URL 'http:///mcp' has no host"),
        ("http://:80/", "the URL 'http://:80/' has no host"),
        ("http://?hush", "the URL 'http://' has no host"),
        ("http://h:0/?hush", "the URL 'http://h:0/' has the port 0"),
        ("http://h:65536/?hush", "the URL 'http://h:65536/' is malformed: Port out of range 0-65535"),
        ("http://[::1/#hush", "the URL 'http://[::1/' is malformed: Invalid IPv6 URL"),
        ("http://[fe80::1%25eth0]/", "'fe80::1%25eth0' has a zone, which cannot be used in a URL"),
        ("http://[v1.a:b]/", "'v1.a:b' is not an IPv6 address"),
        ("http://a%41b/", "'a%41b' is not a host name"),
        ("http://a,b/", "'a,b' is not a host name"),
        ("http://ex*mple/", "'ex*mple' is not a host name"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(url: Any, message: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse(url)
    assert str(caught.value) == message
    assert "hush" not in message


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("http://h:abc/", "the URL 'http://h:abc/' is malformed: Port could not be cast"),
        ("http://h:-1/", "the URL 'http://h:-1/' is malformed: Port"),
        ("http://[127.0.0.1]/", "the URL 'http://[127.0.0.1]/' is malformed: "),
        ("http://[1::2::3]/", "the URL 'http://[1::2::3]/' is malformed: "),
        ("http://a℀b/", "the URL 'http://a℀b/' is malformed: "),
        ("http://a..b/", "'a..b' is not a host name: "),
        ("http://" + "a" * 64 + "/", f"'{'a' * 64}' is not a host name: "),
        ("http://a\u200eb/", "'a\\u200eb' is not a host name: "),
    ],
)
def test_the_reason_of_the_standard_library_is_passed_on(url: str, start: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse(url)
    assert str(caught.value).startswith(start)


def test_a_long_url_is_cut_in_the_error() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse("ftp://h/" + "a" * 5000)
    assert len(str(caught.value)) < MAX_URL_SHOWN + 100


@pytest.mark.parametrize(
    ("url", "authority", "tls"),
    [
        ("http://h", "h", False),
        ("http://h:80", "h", False),
        ("http://h:443", "h:443", False),
        ("https://h:443", "h", True),
        ("https://h:80", "h:80", True),
        ("https://[::1]", "[::1]", True),
        ("http://[::1]:8080", "[::1]:8080", False),
    ],
)
def test_authority(url: str, authority: str, tls: bool) -> None:
    endpoint = parse(url)
    assert (endpoint.authority, endpoint.tls) == (authority, tls)
    assert endpoint.url == f"{endpoint.scheme}://{authority}/"


def test_the_query_is_hidden() -> None:
    endpoint = parse("https://h:8000/mcp?api_key=hush")
    assert str(endpoint) == repr(endpoint) == "https://h:8000/mcp"
    assert endpoint.url == "https://h:8000/mcp?api_key=hush"
    assert endpoint.target == "/mcp?api_key=hush"


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("http://h:80/other?x", True),
        ("HTTP://H/", True),
        ("https://h/", False),
        ("http://h:8080/", False),
        ("http://i/", False),
        ("http://h./", False),
    ],
)
def test_same_origin(other: str, same: bool) -> None:
    assert parse("http://h/mcp").same_origin(parse(other)) is same


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/other", "https://h:8000/other"),
        ("other?y", "https://h:8000/a/other?y"),
        ("../other", "https://h:8000/other"),
        ("?y", "https://h:8000/a/mcp?y"),
        ("", "https://h:8000/a/mcp?x=1"),
        ("#f", "https://h:8000/a/mcp?x=1"),
        ("//other/p", "https://other/p"),
        ("http://other:1/p", "http://other:1/p"),
        ("https://bücher.example/é", "https://xn--bcher-kva.example/%C3%A9"),
    ],
)
def test_a_location_leads_somewhere(location: str, url: str) -> None:
    assert parse("https://h:8000/a/mcp?x=1").resolve(location).url == url


@pytest.mark.parametrize(
    "location",
    [
        "http://",
        "http://[",
        "ftp://h/",
        "http://u:hush@h/",
        "/a b",
        "//h:0/",
        "javascript:alert(1)",
        "/\x7f",
        "x" * 9000,
    ],
)
def test_a_location_that_leads_nowhere(location: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"^the server redirects to an invalid URL: ") as caught:
        parse("https://h/mcp?x=hush").resolve(location)
    assert "hush" not in str(caught.value)


PARTS = [
    "http://",
    "https://",
    "h",
    "é",
    "[",
    "]",
    "::1",
    ":",
    "8",
    "@",
    "/",
    "?",
    "#",
    "%",
    "%41",
    ".",
    "..",
    "℀",
    "-",
    "xn--",
]
URLS = st.lists(st.sampled_from(PARTS), max_size=8).map("".join) | st.text(st.characters(), max_size=10)


@given(st.sampled_from(["", "http://", "http://h/", "http://["]), URLS)
@example("http://", "xn--a")
@example("http://", "\u0660")
def test_any_text_is_a_good_url_or_refused(start: str, rest: str) -> None:
    try:
        endpoint = parse(start + rest)
    except LocalProtocolError:
        pass
    else:
        assert parse(endpoint.url) == endpoint
        assert re.fullmatch(r"/[!-~]*", endpoint.target)
        assert re.fullmatch(r"[!-~]+", endpoint.authority)
    with suppress(RemoteProtocolError):
        parse("https://h:8000/a/b?c").resolve(start + rest)


# ---- Unix sockets -----------------------------------------------------------------------------


def test_a_unix_socket_stands_in_the_place_of_the_host() -> None:
    url = EndpointURL.parse("http+unix://%2FRun%2Fmy%20mcp.sock/mcp?key=1")
    assert (url.unix, url.tls, url.host, url.port, url.target) == (
        True,
        False,
        "/Run/my mcp.sock",
        0,
        "/mcp?key=1",
    )
    assert url.authority == "localhost"
    assert url.url == "http+unix://%2FRun%2Fmy%20mcp.sock/mcp?key=1"
    assert str(url) == "http+unix://%2FRun%2Fmy%20mcp.sock/mcp"
    assert EndpointURL.parse(url.url) == url


@pytest.mark.parametrize("url", ["http+unix://", "http+unix:///mcp", "http+unix://run.sock/mcp"])
def test_a_unix_socket_has_an_absolute_path(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="percent-encoded"):
        EndpointURL.parse(url)


def test_the_path_of_a_unix_socket_has_no_nul() -> None:
    with pytest.raises(LocalProtocolError, match="NUL"):
        EndpointURL.parse("http+unix://%2Frun%00/mcp")


def test_a_location_on_a_unix_socket() -> None:
    here = EndpointURL.parse("http+unix://%2Frun%2Fs/mcp")
    assert here.resolve("/other").url == "http+unix://%2Frun%2Fs/other"
    assert here.resolve("below?x=1").url == "http+unix://%2Frun%2Fs/below?x=1"
    assert here.resolve("http://localhost/there").url == "http+unix://%2Frun%2Fs/there"
    assert not here.same_origin(here.resolve("http://example.com/"))
    assert not here.same_origin(EndpointURL.parse("http+unix://%2Frun%2Ft/mcp"))


def test_a_redirect_is_measured_before_it_is_resolved() -> None:
    with pytest.raises(RemoteProtocolError, match="longer than"):
        EndpointURL.parse("https://host/mcp").resolve("a/" * MAX_URL_LENGTH)
