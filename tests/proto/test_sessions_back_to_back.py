"""The two roles talk to each other: every method, every revision, however the bytes are cut."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto import calls
from routermcp_proto.calls import Call
from routermcp_proto.events import (
    Connected,
    ErrorReceived,
    InputRequired,
    MessageDropped,
    NotificationReceived,
    ProgressReceived,
    RequestLost,
    RequestReceived,
    RequestTimedOut,
    RequestWithdrawn,
    ResponseReceived,
    ResponseRejected,
)
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.states import SessionState
from routermcp_proto.types import EmptyResult
from routermcp_proto.versions import REVISIONS, Era
from tests.proto.pair import CUTS, SERVER_INFO, Pair

HANDSHAKE = [name for name, revision in REVISIONS.items() if revision.era is Era.HANDSHAKE]

TOOL = {"name": "t", "inputSchema": {"type": "object"}}

#: A call, the result that a server gives, and what has to be in it.
METHODS: list[tuple[Call[Any], dict[str, Any]]] = [
    (calls.list_tools("c"), {"tools": [TOOL], "nextCursor": "d"}),
    (
        calls.call_tool("t", {"a": [1, {"b": None}]}),
        {"content": [{"type": "text", "text": "ä"}], "isError": True},
    ),
    (calls.list_resources(), {"resources": [{"uri": "a:b", "name": "r"}]}),
    (calls.list_resource_templates(), {"resourceTemplates": [{"uriTemplate": "a:{b}", "name": "r"}]}),
    (calls.read_resource("a:b"), {"contents": [{"uri": "a:b", "text": "x"}]}),
    (calls.list_prompts(), {"prompts": [{"name": "p"}]}),
    (
        calls.get_prompt("p", {"a": "b"}),
        {"messages": [{"role": "user", "content": {"type": "text", "text": "x"}}]},
    ),
    (
        calls.complete({"type": "ref/prompt", "name": "p"}, {"name": "a", "value": "b"}),
        {"completion": {"values": []}},
    ),
]
OLD_METHODS: list[tuple[Call[Any], dict[str, Any]]] = [
    (calls.subscribe("a:b"), {}),
    (calls.unsubscribe("a:b"), {}),
    (calls.set_log_level("debug"), {}),
]
NEW_METHODS: list[tuple[Call[Any], dict[str, Any]]] = [(calls.listen({"toolsListChanged": True}), {})]

ELICIT = Call("elicitation/create", {"message": "Who?", "requestedSchema": {}}, EmptyResult, safe=True)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("protocol", ["auto", *REVISIONS])
def test_every_method_in_every_revision(protocol: str, cut: str) -> None:
    pair = Pair(protocol, cut=cut)
    connected = pair.connect()
    expected = "2026-07-28" if protocol == "auto" else protocol
    assert connected.revision.name == connected.server.protocolVersion == expected
    assert connected.server.serverInfo.to_wire() == SERVER_INFO
    assert connected.server.instructions == "Be kind."
    assert pair.client.state is SessionState.READY
    stateless = connected.revision.era is Era.STATELESS
    for call, result in METHODS + (NEW_METHODS if stateless else OLD_METHODS):
        request_id, received = pair.ask(call)
        own = {key: value for key, value in received.params.items() if key != "_meta"}
        assert own == call.params
        assert received.revision is connected.revision
        pair.server.send_answer(request_id, result)
        (answer,) = pair.to_client()
        assert isinstance(answer, ResponseReceived)
        assert answer.request_id == request_id
        wire = answer.value.to_wire()
        assert {key: wire[key] for key in result} == result
        assert not answer.warnings
    assert pair.client.pending == ()


def test_what_the_stateless_era_adds_to_requests_and_results() -> None:
    pair = Pair(capabilities={"roots": {}})
    pair.connect()
    request_id, received = pair.ask(calls.list_tools(), meta={"com.example/trace": "x"}, progress=True)
    assert received.params["_meta"] == {
        "progressToken": request_id,
        "com.example/trace": "x",
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "routermcp", "version": "0.1.0"},
        "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
    }
    assert received.capabilities == {"roots": {}}
    pair.server.send_answer(request_id, {"tools": [], "_meta": {"own": 1}})
    (answer,) = pair.to_client()
    assert isinstance(answer, ResponseReceived)
    assert answer.value.to_wire() == {
        "resultType": "complete",
        "ttlMs": 5,
        "cacheScope": "public",
        "tools": [],
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER_INFO, "own": 1},
    }


def test_what_the_handshake_era_leaves_alone() -> None:
    pair = Pair("2025-11-25")
    pair.connect()
    request_id, received = pair.ask(calls.call_tool("t"), meta={"a": 1})
    assert received.params["_meta"] == {"a": 1}
    _, plain = pair.ask(calls.call_tool("t"))
    assert "_meta" not in plain.params
    pair.server.send_answer(request_id, {"content": []})
    (answer,) = pair.to_client()
    assert isinstance(answer, ResponseReceived)
    assert answer.value.to_wire() == {"content": []}


@pytest.mark.parametrize("protocol", ["auto", "2025-11-25"])
def test_errors_and_progress_reach_their_call(protocol: str) -> None:
    pair = Pair(protocol)
    pair.connect()
    call = calls.call_tool("t")
    request_id, received = pair.ask(call, progress=True)
    assert received.progress_token == request_id
    for outgoing in (
        pair.server.report_progress(request_id, 1),
        pair.server.report_progress(request_id, 2, total=3, message="half"),
    ):
        pair.client.receive_data(outgoing.payload + b"\n")
    pair.server.send_refusal(request_id, ErrorObject(-5, "no", {"why": 1}))
    first, second, last = [*pair.client.events_received(), *pair.to_client()]
    assert isinstance(first, ProgressReceived)
    assert isinstance(second, ProgressReceived)
    assert (first.request_id, first.progress.progress, first.progress.total) == (request_id, 1, None)
    assert (second.progress.progress, second.progress.total, second.progress.message) == (2, 3, "half")
    assert last == ErrorReceived(request_id, ErrorObject(-5, "no", {"why": 1}), call)


def test_a_cancelled_call_is_withdrawn_and_its_late_answer_dropped() -> None:
    pair = Pair("2025-11-25")
    pair.connect()
    request_id, _ = pair.ask(calls.call_tool("t"))
    pair.server.send_answer(request_id, {"content": []})
    late = pair.server.data_to_send()
    pair.server = Pair("2025-11-25").server
    pair.client.cancel(request_id, "too slow")
    assert pair.client.pending == ()
    assert b'"reason":"too slow"' in pair.client.data_to_send()
    pair.client.receive_data(late)
    (event,) = pair.client.events_received()
    assert isinstance(event, MessageDropped)
    with pytest.raises(LocalProtocolError, match="cannot be cancelled"):
        pair.client.cancel(request_id)


def test_the_server_hears_that_a_call_is_cancelled() -> None:
    pair = Pair()
    pair.connect()
    request_id, _ = pair.ask(calls.call_tool("t"))
    pair.client.cancel(request_id)
    assert pair.to_server() == [RequestWithdrawn(request_id, None)]
    with pytest.raises(LocalProtocolError, match="waits for an answer"):
        pair.server.send_answer(request_id, {})


@pytest.mark.parametrize("protocol", HANDSHAKE)
def test_the_server_asks_and_the_client_answers(protocol: str) -> None:
    pair = Pair(protocol, capabilities={"elicitation": {}})
    pair.connect()
    assert pair.server.client["capabilities"] == {"elicitation": {}}
    request_id = pair.server.send_request(ELICIT)
    (asked,) = pair.to_client()
    assert isinstance(asked, RequestReceived)
    assert (asked.method, asked.params["message"]) == ("elicitation/create", "Who?")
    pair.client.send_answer(asked.request_id, {"action": "decline"})
    (answer,) = pair.to_server()
    assert isinstance(answer, ResponseReceived)
    assert answer.request_id == request_id
    pair.server.send_request(ELICIT)
    (asked,) = pair.to_client()
    assert isinstance(asked, RequestReceived)
    pair.client.send_refusal(asked.request_id, ErrorObject(-1, "no"))
    (refused,) = pair.to_server()
    assert isinstance(refused, ErrorReceived)


def test_the_server_takes_its_question_back() -> None:
    pair = Pair("2025-11-25", capabilities={"elicitation": {}})
    pair.connect()
    request_id = pair.server.send_request(ELICIT)
    pair.to_client()
    pair.server.cancel(request_id, "never mind")
    assert pair.to_client() == [RequestWithdrawn(request_id, "never mind")]


@pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list", "made/up"])
def test_what_the_client_did_not_declare_is_refused_by_itself(method: str) -> None:
    pair = Pair("2025-11-25")
    pair.connect()
    pair.server.send_request(Call(method, {}, EmptyResult, safe=True))
    assert pair.to_client() == []
    (refused,) = pair.to_server()
    assert isinstance(refused, ErrorReceived)
    assert refused.error.code == -32601


def test_pings_are_answered_both_ways() -> None:
    pair = Pair("2025-11-25")
    pair.connect()
    for sender, carry, back in (
        (pair.client, pair.to_server, pair.to_client),
        (pair.server, pair.to_client, pair.to_server),
    ):
        request_id = sender.send_request(calls.ping())
        assert carry() == []
        (answer,) = back()
        assert isinstance(answer, ResponseReceived)
        assert answer.request_id == request_id


def test_a_stateless_server_asks_for_input_in_its_result() -> None:
    pair = Pair(capabilities={"elicitation": {}})
    pair.connect()
    first, _ = pair.ask(calls.call_tool("t", {"a": 1}))
    wanted = {"name": {"method": "elicitation/create", "params": {"message": "Who?"}}}
    pair.server.send_answer(
        first, {"resultType": "input_required", "inputRequests": wanted, "requestState": "s"}
    )
    assert pair.to_client() == [InputRequired(first, wanted, "s")]
    answers = {"name": {"action": "accept", "content": {"name": "x"}}}
    retry = calls.call_tool("t", {"a": 1}).with_params(inputResponses=answers, requestState="s")
    second, received = pair.ask(retry)
    assert second != first
    assert (received.params["inputResponses"], received.params["requestState"]) == (answers, "s")
    pair.server.send_answer(second, {"resultType": "input_required", "requestState": "t"})
    assert pair.to_client() == [InputRequired(second, {}, "t")]
    with pytest.raises(LocalProtocolError, match="handshake era"):
        pair.server.send_request(ELICIT)


@pytest.mark.parametrize("empty", [{}, {"inputRequests": {}}, {"inputRequests": None, "requestState": None}])
def test_a_request_for_input_without_questions_and_state_is_malformed(empty: dict[str, Any]) -> None:
    """MCP 2026-07-28, Multi Round-Trip Requests: a server must include at least one of the two."""
    pair = Pair()
    pair.connect()
    asked, _ = pair.ask(calls.call_tool("t"))
    pair.server.send_answer(asked, {"resultType": "input_required", **empty})
    (rejected,) = pair.to_client()
    assert isinstance(rejected, ResponseRejected)
    assert "without questions and state" in str(rejected.error)


def test_a_result_type_of_null_counts_as_none() -> None:
    """MCP 2026-07-28, Base Protocol, "ResultType": an absent one is ``complete``; null says the same."""
    pair = Pair()
    pair.connect()
    asked, _ = pair.ask(calls.call_tool("t"))
    pair.server.send_answer(asked, {"resultType": None, "content": []})
    (answered,) = pair.to_client()
    assert isinstance(answered, ResponseReceived)


def test_notifications_pass_both_ways() -> None:
    pair = Pair("2025-11-25")
    pair.connect()
    pair.server.send_notification("notifications/tools/list_changed")
    assert pair.to_client() == [NotificationReceived("notifications/tools/list_changed", {})]
    pair.client.send_notification("notifications/roots/list_changed", {"a": 1})
    assert pair.to_server() == [NotificationReceived("notifications/roots/list_changed", {"a": 1})]


def test_requests_have_deadlines() -> None:
    pair = Pair()
    pair.connect()
    assert pair.client.next_timer() is None
    late = pair.client.send_request(calls.call_tool("a"), deadline=5.0)
    later = pair.client.send_request(calls.call_tool("b"), deadline=7.0)
    pair.client.send_request(calls.call_tool("c"))
    assert pair.client.next_timer() == 5.0
    pair.client.handle_timer(4.9)
    assert pair.client.events_received() == []
    pair.client.handle_timer(5.0)
    assert pair.client.events_received() == [RequestTimedOut(late)]
    assert pair.client.next_timer() == 7.0
    kinds = [type(event) for event in pair.to_server()]
    assert kinds == [RequestReceived] * 3 + [RequestWithdrawn]
    assert later in pair.client.pending


def test_the_end_of_the_stream_loses_what_waits() -> None:
    pair = Pair()
    pair.connect()
    lost = pair.client.send_request(calls.call_tool("a"))
    pair.client.receive_eof()
    assert pair.client.events_received() == [RequestLost(lost)]
    assert pair.client.state is SessionState.CLOSED
    assert pair.client.data_to_send(), "what was queued may still be sent"
    with pytest.raises(LocalProtocolError):
        pair.client.send_request(calls.call_tool("a"))
    with pytest.raises(LocalProtocolError, match="closed"):
        pair.client.send_notification("x")


def test_a_last_line_without_an_end_counts() -> None:
    pair = Pair()
    pair.connect()
    request_id, _ = pair.ask(calls.call_tool("a"))
    pair.client.receive_data(pair.server.answer(request_id, {"content": []}))
    assert pair.client.events_received() == []
    pair.client.receive_eof()
    assert [type(event) for event in pair.client.events_received()] == [ResponseReceived]


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ({"content": 5}, "shape"),
        ({"resultType": "partial", "content": []}, "resultType 'partial'"),
        ({"resultType": 7, "content": []}, "resultType"),
        ({"resultType": "input_required", "inputRequests": 5}, "input request"),
    ],
)
def test_an_answer_of_the_wrong_shape_is_rejected(result: dict[str, Any], problem: str) -> None:
    pair = Pair()
    pair.connect()
    request_id, _ = pair.ask(calls.call_tool("a"))
    pair.server.send_answer(request_id, result)
    (event,) = pair.to_client()
    assert isinstance(event, ResponseRejected)
    assert problem in str(event.error)
    assert pair.client.pending == ()


def test_lists_do_not_ask_for_input() -> None:
    pair = Pair()
    pair.connect()
    request_id, _ = pair.ask(calls.list_tools())
    pair.server.send_answer(request_id, {"resultType": "input_required", "requestState": "x"})
    (event,) = pair.to_client()
    assert isinstance(event, ResponseRejected)


def test_a_reconnected_client_starts_anew() -> None:
    pair = Pair("2025-11-25")
    pair.connect()
    pair.client.expire()
    assert (pair.client.state, pair.client.server) == (SessionState.NEW, None)
    pair.server = Pair("2025-11-25").server
    assert isinstance(pair.connect(), Connected)
