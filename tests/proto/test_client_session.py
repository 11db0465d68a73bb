"""What only the client's machine does."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from routermcp_proto import calls
from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import (
    Connected,
    ConnectionFailed,
    ErrorReceived,
    MessageDropped,
    MessageReady,
    NotificationReceived,
    Outgoing,
    ProgressReceived,
    ResponseReceived,
    ResponseRejected,
)
from routermcp_proto.exceptions import LocalProtocolError, MCPError, RemoteProtocolError
from routermcp_proto.jsonrpc import (
    ErrorObject,
    encode_error,
    encode_notification,
    encode_request,
    encode_response,
)
from routermcp_proto.names import ACKNOWLEDGED, CAPABILITIES_KEY, SUBSCRIPTION_ID_KEY
from routermcp_proto.session import base as session_module
from routermcp_proto.session import tool_facts
from routermcp_proto.session.handshake import Refused
from routermcp_proto.session.request_meta import RESERVED_META
from routermcp_proto.states import SessionState
from tests.proto.pair import Pair

DISCOVERED = {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}
INITIALIZED = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "serverInfo": {"name": "s", "version": "1"},
}


def connected(protocol: str = "auto", **settings: Any) -> ClientSession:
    pair = Pair(protocol, **settings)
    pair.connect()
    return pair.client


def test_calls_need_a_handshake() -> None:
    session = ClientSession()
    with pytest.raises(LocalProtocolError, match="not one that is new"):
        session.send_request(calls.list_tools())
    session.connect()
    with pytest.raises(LocalProtocolError, match="not one that is probing"):
        session.send_request(calls.list_tools())


def test_the_handshake_falls_back_when_the_probe_is_refused() -> None:
    session = ClientSession()
    session.connect()
    session.data_to_send()
    session.receive_data(encode_error(1, ErrorObject(-32601, "what?")) + b"\n")
    assert session.events_received() == []
    assert session.state is SessionState.INITIALIZING
    assert b'"method":"initialize"' in session.data_to_send()
    session.receive_data(encode_response(2, INITIALIZED) + b"\n")
    (event,) = session.events_received()
    assert isinstance(event, Connected)
    assert session.data_to_send() == b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'


def test_a_malformed_answer_to_the_probe_is_a_refusal() -> None:
    session = ClientSession()
    first = session.start_handshake()
    (event,) = session.receive_message(encode_response(first.request_id or 0, {"supportedVersions": 5}))
    assert isinstance(event, MessageReady)
    assert event.outgoing.method == "initialize"


def test_a_transport_reports_a_refusal_of_its_own() -> None:
    session = ClientSession()
    first = session.start_handshake()
    (event,) = session.refuse_handshake(Refused(None, MCPError("HTTP 400")))
    assert isinstance(event, MessageReady)
    assert event.outgoing.method == "initialize"
    assert first.request_id not in session.pending
    cause = MCPError("HTTP 400 again")
    assert session.refuse_handshake(Refused(None, cause)) == [ConnectionFailed(cause)]
    assert session.state is SessionState.NEW
    assert session.refuse_handshake(Refused(None, cause)) == [], "nobody is asking any more"


def test_a_late_answer_to_a_probe_that_was_given_up_is_no_event() -> None:
    """A server that was slow to start answers both requests."""
    session = ClientSession()
    probe = session.start_handshake()
    (event,) = session.refuse_handshake(Refused(None, MCPError("no answer in time")))
    assert isinstance(event, MessageReady)
    late = encode_error(probe.request_id or 0, ErrorObject(-32601, "what?"))
    assert session.receive_message(late) == []
    session.receive_message(encode_response(event.outgoing.request_id or 0, INITIALIZED))
    assert session.receive_message(late) == []
    (dropped,) = session.receive_message(encode_response(99, {}))
    assert isinstance(dropped, MessageDropped)


def test_other_messages_do_not_move_the_handshake() -> None:
    session = ClientSession()
    session.start_handshake()
    (event,) = session.receive_message(encode_response(99, DISCOVERED))
    assert isinstance(event, MessageDropped)
    (event,) = session.receive_message(encode_notification("notifications/message", {"level": "info"}))
    assert session.state is SessionState.PROBING


def test_an_answer_from_before_does_not_move_the_handshake() -> None:
    session = connected()
    old = session.start_request(calls.ping())
    session.expire()
    session.start_handshake()
    (event,) = session.receive_message(encode_response(old.request_id or 0, {}))
    assert isinstance(event, ResponseReceived)
    assert session.state is SessionState.PROBING


def test_a_known_revision_spares_the_probe() -> None:
    assert ClientSession().start_handshake("2025-06-18").method == "initialize"
    assert ClientSession(protocol="2026-07-28").start_handshake("2025-06-18").method == "server/discover"


def test_a_handshake_can_be_given_up_and_started_again() -> None:
    session = ClientSession()
    session.fail_handshake()
    first = session.start_handshake()
    session.fail_handshake()
    assert (session.state, session.pending) == (SessionState.NEW, ())
    assert session.start_handshake().request_id != first.request_id
    with pytest.raises(LocalProtocolError):
        session.expire()


def test_what_one_session_found_out_another_takes_over() -> None:
    found = connected().agreement
    assert found is not None
    session = ClientSession(capabilities={"roots": {}})
    assert session.adopts(found)
    assert session.adopt(found) == Connected(found.server, found.revision)
    assert b'"clientCapabilities":{"roots":{}}' in session.start_request(calls.list_tools()).payload.replace(
        b"io.modelcontextprotocol/", b""
    )
    assert not ClientSession(protocol="2025-11-25").adopts(found)
    old = connected("2025-11-25").agreement
    assert old is not None
    assert not session.adopts(old)
    with pytest.raises(LocalProtocolError, match="handshake of its own"):
        ClientSession().adopt(old)


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
def test_what_servers_say_alike_is_kept_once(protocol: str) -> None:
    first, second = connected(protocol), connected(protocol)
    known, own = first.agreement, second.agreement
    assert known is not None
    assert own is not None
    assert own.server is not known.server
    second.recognize(known)
    found = second.agreement
    assert found is not None
    assert found.server is known.server
    assert found.discovered is known.discovered
    assert found is not known  # so that a renewal is seen
    second.recognize(replace(known, server=known.server.model_copy(update={"instructions": "for one user"})))
    assert second.agreement is found
    ClientSession().recognize(known)


def test_initialize_must_not_be_cancelled() -> None:
    session = ClientSession(protocol="2025-11-25")
    first = session.start_handshake()
    assert first.request_id is not None
    with pytest.raises(LocalProtocolError, match="cannot be cancelled"):
        session.cancel(first.request_id)
    assert session.abandon(first.request_id) is None
    assert session.abandon(first.request_id) is None, "it has ended already"


@pytest.mark.parametrize("key", sorted(RESERVED_META))
def test_reserved_members_of_meta_cannot_be_given(key: str) -> None:
    session = connected()
    with pytest.raises(LocalProtocolError, match=key):
        session.start_request(calls.ping(), meta={key: 1})
    assert session.pending == ()


def test_a_call_that_json_cannot_hold_waits_for_nothing() -> None:
    session = connected()
    with pytest.raises(LocalProtocolError, match="params"):
        session.start_request(calls.call_tool("t", {"a": object()}))
    assert session.pending == ()


def test_the_number_of_waiting_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_PENDING_REQUESTS", 2)
    session = connected()
    session.start_request(calls.ping())
    session.start_request(calls.ping())
    with pytest.raises(LocalProtocolError, match="2 requests wait"):
        session.start_request(calls.ping())


def test_the_number_of_the_servers_questions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_PEER_REQUESTS", 1)
    session = connected("2025-11-25", capabilities={"roots": {}})
    session.receive_data(encode_request(1, "roots/list", {}) + b"\n")
    session.receive_data(encode_request(2, "roots/list", {}) + b"\n")
    assert len(session.events_received()) == 1
    assert b'"id":2,"error"' in session.data_to_send()


def tools_page(session: ClientSession, *tools: dict[str, Any]) -> ResponseReceived:
    request = session.start_request(calls.list_tools())
    (event,) = session.receive_message(encode_response(request.request_id or 0, {"tools": list(tools)}))
    assert isinstance(event, ResponseReceived)
    return event


def tool(name: str, header: str | None = None, **hints: bool) -> dict[str, Any]:
    parameter = {"type": "string"} | ({"x-mcp-header": header} if header is not None else {})
    schema = {"type": "object", "properties": {"p": parameter}}
    return {"name": name, "inputSchema": schema} | ({"annotations": hints} if hints else {})


def test_tools_that_declare_wrongly_are_left_out_where_headers_are_mirrored() -> None:
    session = connected()
    event = tools_page(session, tool("good", "Region"), tool("bad", "not a token"), tool("plain"))
    assert [item.name for item in event.value.tools] == ["good", "plain"]
    assert len(event.warnings) == 1
    assert "'bad'" in event.warnings[0]
    facts = session.tool_facts("good")
    assert facts is not None
    assert [header.header for header in facts.headers] == ["Mcp-Param-Region"]
    assert session.tool_facts("plain") is session.tool_facts("bad") is None
    old = connected("2025-11-25")
    assert [item.name for item in tools_page(old, tool("bad", "not a token")).value.tools] == ["bad"]


def test_a_declaration_with_escaped_letters_counts_too() -> None:
    session = connected()
    request = session.start_request(calls.list_tools())
    answer = encode_response(
        request.request_id or 0, {"tools": [tool("good", "Region"), tool("bad", "no token!")]}
    )
    (event,) = session.receive_message(answer.replace(b"x-mcp-header", rb"x\u002dmcp-header"))
    assert isinstance(event, ResponseReceived)
    assert [item.name for item in event.value.tools] == ["good"]
    facts = session.tool_facts("good")
    assert facts is not None
    assert [header.header for header in facts.headers] == ["Mcp-Param-Region"]


def test_what_is_remembered_of_a_tool_follows_the_list() -> None:
    session = connected()
    tools_page(session, tool("a", "X"), tool("b", readOnlyHint=True), tool("c", idempotentHint=True))
    tools_page(session, tool("d", readOnlyHint=False))
    remembered = {name: session.tool_facts(name) for name in "abcd"}
    assert [facts is not None and facts.repeatable for facts in remembered.values()] == [
        False,
        True,
        True,
        False,
    ]
    tools_page(session, tool("a"), tool("b", "no token!"))
    assert session.tool_facts("a") is session.tool_facts("b") is None


def test_the_memory_of_tools_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_facts, "MAX_TOOLS_REMEMBERED", 1)
    session = connected()
    tools_page(session, tool("a", "X"), tool("b", "Y"))
    assert session.tool_facts("b") is None
    tools_page(session, tool("a", "Z"))
    facts = session.tool_facts("a")
    assert facts is not None
    assert facts.headers[0].header == "Mcp-Param-Z"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"{", "JSON"),
        (encode_response(99, {}), "not pending"),
        (encode_error(None, ErrorObject(-1, "parse")), "the peer reports: parse"),
        (encode_error(99, ErrorObject(-1, "x")), "not pending"),
        (encode_notification("notifications/progress", {"progressToken": 99, "progress": 1}), "no pending"),
        (encode_notification("notifications/progress", {"progressToken": True, "progress": 1}), "no pending"),
        (encode_notification("notifications/cancelled", {"requestId": 99}), "not being worked on"),
        (encode_notification("notifications/cancelled", {"requestId": [1]}), "not being worked on"),
        (b'{"jsonrpc":"1.0","method":"m"}', "2.0"),
    ],
)
def test_a_useless_message_costs_only_itself(payload: bytes, words: str) -> None:
    session = connected("2025-11-25")
    (event,) = session.receive_message(payload)
    assert isinstance(event, MessageDropped)
    assert words in event.problem


@pytest.mark.parametrize("given", ['"{}"', "{}.0", "{}"])
def test_an_id_that_comes_back_as_text_or_with_a_fraction_is_the_same(given: str) -> None:
    session = connected("2025-11-25")
    request = session.start_request(calls.ping(), progress=True)
    written = given.format(request.request_id)
    params = f'{{"progressToken":{written},"progress":1}}'
    report = f'{{"jsonrpc":"2.0","method":"notifications/progress","params":{params}}}'
    (event,) = session.receive_message(report.encode())
    assert isinstance(event, ProgressReceived)
    assert event.request_id == request.request_id
    (event,) = session.receive_message(f'{{"id":{written},"result":{{}}}}'.encode(), only=request.request_id)
    assert isinstance(event, ResponseReceived)
    assert event.request_id == request.request_id
    for useless in ('{"id":"x","result":{}}', '{"id":"-","error":"no"}'):
        (event,) = session.receive_message(useless.encode())
        assert isinstance(event, MessageDropped)


def test_a_malformed_answer_to_an_id_as_text_costs_its_call() -> None:
    session = connected("2025-11-25")
    request = session.start_request(calls.ping())
    (event,) = session.receive_message(f'{{"id":"{request.request_id}","result":[]}}'.encode())
    assert isinstance(event, ResponseRejected)


def test_an_error_without_an_id_ends_the_only_call_that_waits() -> None:
    session = connected("2025-11-25")
    first, second = session.start_request(calls.ping()), session.start_request(calls.ping())
    error = ErrorObject(-32700, "cannot parse")
    (event,) = session.receive_message(encode_error(None, error))
    assert isinstance(event, MessageDropped)
    assert session.unclaimed_error == error
    session.abandon(first.request_id or 0)
    (event,) = session.receive_message(encode_error(None, error))
    assert event == ErrorReceived(second.request_id or 0, error, second.call)


@pytest.mark.parametrize("kind", [None, "complete"])
def test_a_result_type_of_null_says_nothing(kind: str | None) -> None:
    session = connected("2025-11-25")
    request = session.start_request(calls.ping())
    (event,) = session.receive_message(encode_response(request.request_id or 0, {"resultType": kind}))
    assert isinstance(event, ResponseReceived)


def test_a_malformed_progress_report_is_dropped() -> None:
    session = connected()
    request = session.start_request(calls.ping(), progress=True)
    payload = encode_notification(
        "notifications/progress", {"progressToken": request.request_id, "progress": "x"}
    )
    (event,) = session.receive_message(payload)
    assert event == MessageDropped("a progress report was malformed")


def test_a_malformed_answer_ends_its_request() -> None:
    session = connected()
    request = session.start_request(calls.ping())
    (event,) = session.receive_message(b'{"jsonrpc":"2.0","id":%d,"result":5}' % (request.request_id or 0))
    assert isinstance(event, ResponseRejected)
    assert "not a JSON-RPC message" in str(event.error)
    assert session.pending == ()


def test_a_stream_that_belongs_to_one_request_answers_no_other() -> None:
    session = connected()
    mine, other = session.start_request(calls.ping()), session.start_request(calls.ping())
    assert mine.request_id is not None
    assert other.request_id is not None
    (event,) = session.receive_message(encode_response(other.request_id, {}), only=mine.request_id)
    assert isinstance(event, MessageDropped)
    bad = b'{"jsonrpc":"2.0","id":%d,"result":5}' % other.request_id
    assert isinstance(session.receive_message(bad, only=mine.request_id)[0], MessageDropped)
    assert session.waits_for(other.request_id)
    (event,) = session.receive_message(encode_error(None, ErrorObject(-1, "x")), only=mine.request_id)
    assert isinstance(event, ErrorReceived)
    assert event.request_id == mine.request_id


def test_batches_exist_in_one_revision() -> None:
    batch = b"[%b,%b]" % (encode_notification("a", {}), encode_notification("b", {}))
    assert len(connected("2025-03-26").receive_message(batch)) == 2
    (event,) = connected("2025-06-18").receive_message(batch)
    assert isinstance(event, MessageDropped)


def test_an_overlong_line_costs_the_connection() -> None:
    session = ClientSession(max_message_size=10)
    session.connect()
    with pytest.raises(RemoteProtocolError):
        session.receive_data(b"x" * 11)
    assert session.data_to_send(), "what was queued is still sent"


def test_the_session_says_what_it_can_do() -> None:
    assert ClientSession(capabilities={"roots": {}}).capabilities == {"roots": {}}
    assert ClientSession().revision is None


def test_a_copy_in_a_child_process_leaves_a_session_to_its_parent() -> None:
    older, stateless = connected("2025-11-25"), connected()
    for session in (older, stateless):
        session.start_request(calls.list_tools())
        session.restart()
        assert session.pending == ()
    assert (older.state, older.server) == (SessionState.NEW, None)
    assert stateless.state is SessionState.READY, "its server knows of no session"


def test_a_copy_in_a_child_process_waits_for_no_handshake_of_its_parent() -> None:
    session = ClientSession()
    session.start_handshake()
    session.restart()
    assert (session.state, session.pending) == (SessionState.NEW, ())


def test_the_end_of_a_stream_after_the_session_was_closed() -> None:
    session = connected()
    session.close()
    session.receive_eof()
    assert (session.state, session.events_received()) == (SessionState.CLOSED, [])


@pytest.mark.parametrize("stamped", [True, False])
def test_a_gateway_declares_what_its_own_client_can_do(stamped: bool) -> None:
    """In the era whose requests say that, and for one request only."""
    session = connected("2026-07-28" if stamped else "2025-11-25")

    def declared(outgoing: Outgoing) -> Any:
        params = json.loads(outgoing.payload).get("params", {})
        return params.get("_meta", {}).get(CAPABILITIES_KEY)

    for _ in range(2):
        outgoing = session.start_request(calls.list_tools(), capabilities={"elicitation": {}})
        assert declared(outgoing) == ({"elicitation": {}} if stamped else None)
    assert declared(session.start_request(calls.list_tools())) == ({} if stamped else None)


# ---- subscriptions to lists ----------------------------------------------------------------------

ANNOUNCES = {"tools": {"listChanged": True}, "prompts": {"listChanged": False}, "resources": {}}


def listening(capabilities: dict[str, Any] = ANNOUNCES, **settings: Any) -> ClientSession:
    session = ClientSession(**settings)
    first = session.start_handshake()
    discovered = {**DISCOVERED, "capabilities": capabilities}
    session.receive_message(encode_response(first.request_id or 0, discovered))
    return session


def test_only_lists_whose_changes_are_announced_are_subscribed_to() -> None:
    outgoing = listening(hears_lists=True).start_listening()
    assert outgoing is not None
    sent = json.loads(outgoing.payload)
    assert sent["method"] == "subscriptions/listen"
    assert sent["params"]["notifications"] == {"toolsListChanged": True}


def test_there_may_be_nothing_to_subscribe_to() -> None:
    old = ClientSession(hears_lists=True, protocol="2025-11-25")
    first = old.start_handshake()
    old.receive_message(encode_response(first.request_id or 0, {**INITIALIZED, "capabilities": ANNOUNCES}))
    for session in (listening(), listening({"tools": {}}, hears_lists=True), ClientSession(), old):
        assert not session.listens
        assert session.start_listening() is None


@pytest.mark.parametrize("spelled", [int, str, float])
def test_acknowledgement_and_end_of_a_subscription_are_no_events(spelled: type) -> None:
    session = listening(hears_lists=True)
    outgoing = session.start_listening()
    assert outgoing is not None
    number = outgoing.request_id
    named = {"_meta": {SUBSCRIPTION_ID_KEY: spelled(number)}}
    assert session.receive_message(encode_notification(ACKNOWLEDGED, named)) == []
    ended = {"requestId": spelled(number)}
    assert session.receive_message(encode_notification("notifications/cancelled", ended)) == []
    changed = "notifications/tools/list_changed"
    assert session.receive_message(encode_notification(changed, named)) == [
        NotificationReceived(changed, named)
    ]


@pytest.mark.parametrize("params", [{}, {"_meta": 5}, {"_meta": {SUBSCRIPTION_ID_KEY: 77}}])
def test_the_acknowledgement_of_another_subscription_is_an_event(params: dict[str, Any]) -> None:
    session = listening(hears_lists=True)
    session.start_listening()
    assert session.receive_message(encode_notification(ACKNOWLEDGED, params)) == [
        NotificationReceived(ACKNOWLEDGED, params)
    ]


def test_the_answer_to_a_subscription_that_no_call_waits_for_is_no_event() -> None:
    session = listening(hears_lists=True)
    outgoing = session.start_listening()
    assert outgoing is not None
    number = outgoing.request_id or 0
    session.abandon(number)
    assert session.receive_message(encode_response(number, {})) == []
    (dropped,) = session.receive_message(encode_response(number + 1, {}))
    assert isinstance(dropped, MessageDropped)


def test_a_subscription_is_answered_where_its_stream_is_read() -> None:
    session = listening(hears_lists=True)
    outgoing = session.start_listening()
    assert outgoing is not None
    (event,) = session.receive_message(encode_response(outgoing.request_id or 0, {}))
    assert isinstance(event, ResponseReceived)


def test_a_strict_session_rejects_an_answer_with_numbers_that_are_none() -> None:
    session = ClientSession(protocol="2025-11-25", strict_json=True)
    first = session.start_handshake()
    answer = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "serverInfo": {"name": "s", "version": "1"},
    }
    session.receive_message(encode_response(first.request_id or 0, answer))
    asked = session.start_request(calls.call_tool("a"))
    payload = b'{"jsonrpc":"2.0","result":{"content":[],"structuredContent":{"x":NaN}},"id":%d}'
    (rejected,) = session.receive_message(payload % (asked.request_id or 0))
    assert isinstance(rejected, ResponseRejected)
    assert not session.waits_for(asked.request_id or 0)
