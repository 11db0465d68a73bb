"""How the messages of a session become HTTP requests."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto import calls, gateway_calls
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import HTTPRedirected, Outgoing
from routermcp_proto.exceptions import LocalProtocolError, RemoteProtocolError, TransportError
from routermcp_proto.http import binding as binding_module
from routermcp_proto.http.binding import HTTPBinding, user_headers
from routermcp_proto.http.headers import HeaderBlock, HTTPRequest
from routermcp_proto.http.reader import ResponseHead
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.jsonrpc import encode_response
from routermcp_proto.states import SessionState

URL = "http://example.com:8000/mcp?x=1"
COMMON = {
    "host": "example.com:8000",
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "accept-encoding": "identity",
    "user-agent": "test",
}


def bound(protocol: str = "auto", **settings: Any) -> tuple[ClientSession, HTTPBinding]:
    session = ClientSession(protocol=protocol, **settings)
    return session, HTTPBinding(session, EndpointURL.parse(URL), {"User-Agent": "test"})


def connect(session: ClientSession, binding: HTTPBinding, session_id: str | None = None) -> HTTPRequest:
    """Do the handshake without a transport; return the request that opened it."""
    first = session.start_handshake()
    request = binding.post(first)
    revision = session.revision
    assert revision is not None
    result: dict[str, Any] = {"capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    if revision.stamps_requests:
        result |= {"supportedVersions": [revision.name], "resultType": "complete"}
    else:
        result["protocolVersion"] = revision.name
    exchange = binding.exchange(first)
    headers = [(b"content-type", b"application/json")]
    if session_id is not None:
        headers.append((b"mcp-session-id", session_id.encode()))
    exchange.receive_head(ResponseHead(200, tuple(headers)))
    exchange.receive_data(encode_response(first.request_id or 0, result))
    exchange.receive_end()
    return request


def headers_of(request: HTTPRequest) -> dict[str, str]:
    pairs = [(name.decode().lower(), value.decode()) for name, value in request.headers.pairs]
    assert len(pairs) == len(dict(pairs)), "a header stands twice"
    return dict(pairs)


def test_what_may_not_be_logged_says_so() -> None:
    session, binding = bound()
    connect(session, binding)
    for call, private in ((calls.call_tool("a"), False), (gateway_calls.sign_in_status("mail", "u"), True)):
        outgoing = session.start_request(call)
        assert (binding.post(outgoing).private, binding.exchange(outgoing).private) == (private, private)


def test_a_stateless_request_can_be_routed_by_its_headers() -> None:
    session, binding = bound()
    discover = connect(session, binding)
    assert discover.method == b"POST"
    assert discover.target == b"/mcp?x=1"
    assert headers_of(discover) == {
        **COMMON,
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "server/discover",
        "content-length": str(len(discover.body)),
    }
    request = binding.post(session.start_request(calls.call_tool("söng", {"a": 1})))
    named = headers_of(request)
    assert named["mcp-method"] == "tools/call"
    assert named["mcp-name"] == "=?base64?c8O2bmc=?="
    assert named["content-length"] == str(len(request.body))
    read = headers_of(binding.post(session.start_request(calls.read_resource("file:///a%20b?id=1"))))
    assert read["mcp-name"] == "file:///a%20b?id=1"
    assert "mcp-session-id" not in read


@pytest.mark.parametrize(
    ("protocol", "version_header"), [("2025-11-25", True), ("2025-06-18", True), ("2025-03-26", False)]
)
def test_a_session_of_the_handshake_era_is_named_on_every_request_after_initialize(
    protocol: str, version_header: bool
) -> None:
    session, binding = bound(protocol)
    initialize = connect(session, binding, "abc")
    assert headers_of(initialize) == {**COMMON, "content-length": str(len(initialize.body))}
    expected = {**COMMON, "mcp-session-id": "abc"}
    if version_header:
        expected["mcp-protocol-version"] = protocol
    request = binding.post(session.start_request(calls.call_tool("a")))
    assert headers_of(request) == {**expected, "content-length": str(len(request.body))}
    assert (binding.session_id, binding.sessionful) == ("abc", True)


def test_parameters_travel_as_headers_where_the_tool_declares_them() -> None:
    session, binding = bound()
    connect(session, binding)
    listed = session.start_request(calls.list_tools())
    schema = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
    tools = [{"name": "sql", "inputSchema": schema}]
    session.receive_message(encode_response(listed.request_id or 0, {"tools": tools}))
    sent = headers_of(binding.post(session.start_request(calls.call_tool("sql", {"region": "eu", "q": 1}))))
    assert sent["mcp-param-region"] == "eu"
    without = headers_of(binding.post(session.start_request(calls.call_tool("sql"))))
    assert "mcp-param-region" not in without


def test_headers_of_a_call_replace_those_of_the_session() -> None:
    session, binding = bound()
    connect(session, binding)
    outgoing = session.start_request(calls.ping())
    extra = user_headers({"user-agent": "mine", "X-Trace": "1"})
    sent = headers_of(binding.post(outgoing, extra))
    assert (sent["user-agent"], sent["x-trace"]) == ("mine", "1")
    assert headers_of(binding.post(outgoing))["user-agent"] == "test"


@pytest.mark.parametrize("name", ["Host", "content-length", "Mcp-Session-Id", "", "Connection"])
def test_headers_of_the_protocol_cannot_be_given(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="set by the client itself"):
        user_headers([(name, "x")])


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("Content-Type", "application/json", "application/json"),
        ("content-type", "Application/JSON; charset=utf-8", "application/json"),
        ("Accept", "application/json, text/event-stream", "application/json, text/event-stream"),
        ("accept", "text/event-stream;q=1,application/json", "application/json, text/event-stream"),
        ("ACCEPT", "*/*", "application/json, text/event-stream"),
        ("Accept-Encoding", "identity", "identity"),
        ("Accept-Encoding", "gzip;q=1.0, br, deflate", "gzip;q=1.0, deflate"),
        ("accept-encoding", "zstd", "identity"),
    ],
)
def test_headers_of_a_configuration_are_taken_where_mcp_can_use_them(
    name: str, value: str, sent: str
) -> None:
    session = ClientSession(protocol="2025-11-25")
    binding = HTTPBinding(session, EndpointURL.parse("http://a/mcp"), {name: value, "X-Tenant": "a"})
    connect(session, binding)
    headers = headers_of(binding.post(session.start_request(calls.ping())))
    assert (headers[name.lower()], headers["x-tenant"]) == (sent, "a")


@pytest.mark.parametrize(
    ("name", "value"),
    [("Content-Type", "text/plain"), ("Accept", "application/json"), ("accept", "text/html"), ("Accept", "")],
)
def test_headers_that_mcp_cannot_use_are_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"'{name}' must be 'application/json"):
        user_headers({name: value})


def test_notifications_and_answers_are_posted_too() -> None:
    session, binding = bound("2025-11-25")
    connect(session, binding, "abc")
    initialized = binding.post(session.start_notification("notifications/initialized"))
    assert headers_of(initialized)["mcp-session-id"] == "abc"
    answer = binding.post(Outgoing(encode_response(1, {})))
    assert "mcp-method" not in headers_of(answer)


def test_a_stream_is_opened_resumed_and_a_session_deleted() -> None:
    session, binding = bound("2025-11-25", capabilities={"elicitation": {}})
    assert binding.delete() is None
    assert not binding.sessionful
    connect(session, binding, "abc")
    common = {
        "host": "example.com:8000",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "user-agent": "test",
        "mcp-protocol-version": "2025-11-25",
        "mcp-session-id": "abc",
    }
    opened = binding.resume("")
    assert (opened.method, headers_of(opened), opened.body) == (b"GET", common, b"")
    resumed = binding.resume("event-7", HeaderBlock([("User-Agent", "mine")]))
    assert headers_of(resumed) == {**common, "last-event-id": "event-7", "user-agent": "mine"}
    old = bound("2025-03-26")[1]
    connect(old.session, old)
    assert set(headers_of(old.resume("x"))) == {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "last-event-id",
    }
    deleted = binding.delete()
    assert deleted is not None
    assert (deleted.method, headers_of(deleted)) == (b"DELETE", common)


@pytest.mark.parametrize(
    ("protocol", "capabilities", "listens"),
    [
        ("2025-11-25", {"roots": {}}, True),
        ("2025-11-25", {}, False),
        ("2024-11-05", {"roots": {}}, False),
        ("auto", {"roots": {}}, False),
    ],
)
def test_the_shared_stream_is_for_clients_that_can_answer(
    protocol: str, capabilities: dict[str, Any], listens: bool
) -> None:
    session, binding = bound(protocol, capabilities=capabilities)
    assert not binding.listens
    connect(session, binding)
    assert binding.listens is listens


@pytest.mark.parametrize(("protocol", "listens"), [("2025-11-25", True), ("auto", False)])
def test_the_shared_stream_is_for_clients_that_want_to_hear_of_changes_too(
    protocol: str, listens: bool
) -> None:
    session = ClientSession(protocol=protocol)
    binding = HTTPBinding(session, EndpointURL.parse(URL), hears_changes=True)
    connect(session, binding)
    assert binding.listens is listens


def test_a_redirect_that_keeps_method_and_origin_is_followed() -> None:
    session, binding = bound()
    connect(session, binding)
    binding.follow_or_raise(HTTPRedirected(308, "/mcp/"))
    assert str(binding.endpoint) == "http://example.com:8000/mcp/"
    assert binding.post(session.start_request(calls.ping())).target == b"/mcp/"


@pytest.mark.parametrize(
    ("status", "location", "words"),
    [
        (302, "/mcp/", "turns POST into GET"),
        (301, "http://example.com:8000/other", "turns POST into GET"),
        (307, "https://example.com:8000/mcp", "another origin"),
        (308, "http://evil.example/mcp", "another origin"),
        (307, "http://example.com:9000/mcp", "another origin"),
        (302, "/mcp/?key=hush", "turns POST into GET"),
        (302, "/mcp/#key=hush", "turns POST into GET"),
    ],
)
def test_other_redirects_are_refused_by_name(status: int, location: str, words: str) -> None:
    _, binding = bound()
    with pytest.raises(TransportError, match=words) as caught:
        binding.follow_or_raise(HTTPRedirected(status, location))
    assert (caught.value.code, caught.value.status_code, caught.value.not_run) == ("redirect", status, True)
    assert "hush" not in str(caught.value)
    assert str(binding.endpoint) == "http://example.com:8000/mcp"


def test_a_redirect_to_nowhere_is_refused() -> None:
    _, binding = bound()
    with pytest.raises((TransportError, RemoteProtocolError)):
        binding.follow_or_raise(HTTPRedirected(307, "http://[::1"))


def test_an_expired_session_is_forgotten() -> None:
    session, binding = bound("2025-11-25")
    connect(session, binding, "abc")
    binding.expire()
    assert (binding.session_id, session.server) == (None, None)
    again = connect(session, binding, "def")
    assert "mcp-session-id" not in headers_of(again)
    assert headers_of(binding.post(session.start_request(calls.ping())))["mcp-session-id"] == "def"


def test_a_copy_in_a_child_process_has_no_session_id() -> None:
    session, binding = bound("2025-11-25")
    connect(session, binding, "s-1")
    binding.restart()
    assert (binding.session_id, session.state) == (None, SessionState.NEW)


def test_prepared_heads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding_module, "MAX_TEMPLATES", 1)
    session, binding = bound()
    connect(session, binding)
    for call in (calls.ping(), calls.list_tools(), calls.ping()):
        assert headers_of(binding.post(session.start_request(call)))["mcp-method"] == call.method


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_every_redirect_of_a_get_is_followed(status: int) -> None:
    _, binding = bound()
    binding.follow_or_raise(HTTPRedirected(status, "/events/"), get=True)
    assert str(binding.endpoint) == "http://example.com:8000/events/"


@pytest.mark.parametrize(
    "url", ["/messages?session=1", "messages?session=1", "http://example.com:8000/messages?session=1"]
)
def test_messages_go_to_the_endpoint_that_an_event_stream_has_named(url: str) -> None:
    session, binding = bound()
    binding.post_to_or_raise(url)
    assert binding.post(session.start_handshake()).target == b"/messages?session=1"


@pytest.mark.parametrize(
    ("url", "words", "code"),
    [
        ("https://example.com:8000/messages?key=hush", "another origin", "redirect"),
        ("//evil.example/messages?key=hush", "another origin", "redirect"),
        ("http://example.com:9000/?key=hush", "another origin", "redirect"),
        ("http://[::1?key=hush", "no valid URL", "protocol"),
        ("file:///etc/passwd?key=hush", "no valid URL", "protocol"),
    ],
)
def test_messages_go_nowhere_else(url: str, words: str, code: str) -> None:
    _, binding = bound()
    with pytest.raises(TransportError, match=words) as caught:
        binding.post_to_or_raise(url)
    assert (caught.value.code, caught.value.not_run) == (code, True)
    assert "hush" not in str(caught.value)
    assert str(binding.endpoint) == "http://example.com:8000/mcp"
