"""What only the server's machine does."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto import calls
from routermcp_proto.events import Event, MessageDropped, MessageReady, RequestReceived, ResponseReceived
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.jsonrpc import (
    ErrorObject,
    ErrorResponse,
    Response,
    decode,
    encode_notification,
    encode_request,
)
from routermcp_proto.server_session import HANDSHAKE_ONLY, STATELESS_ONLY, ServerSession
from routermcp_proto.session import base as session_module
from routermcp_proto.session.base import Session
from routermcp_proto.session.lines import LineSession
from routermcp_proto.states import SessionState
from routermcp_proto.versions import REVISIONS

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"roots": {}},
}
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "c", "version": "1"},
}


def server(**settings: Any) -> ServerSession:
    return ServerSession(server_info={"name": "s", "version": "1"}, capabilities={"tools": {}}, **settings)


def asked(machine: Session, method: str, params: dict[str, Any] | None = None, request_id: int = 1) -> Event:
    (event,) = machine.receive_message(encode_request(request_id, method, params or {}))
    return event


def reply(event: Event) -> Any:
    assert isinstance(event, MessageReady)
    (message,) = decode(event.outgoing.payload)
    return message


def error_code(event: Event) -> int:
    message = reply(event)
    assert isinstance(message, ErrorResponse)
    return message.error.code


def test_discovery_is_answered_by_itself() -> None:
    message = reply(
        asked(server(instructions="Hi", ttl=9, cache_scope="public"), "server/discover", {"_meta": META})
    )
    assert isinstance(message, Response)
    assert message.result == {
        "resultType": "complete",
        "supportedVersions": list(REVISIONS),
        "capabilities": {"tools": {}},
        "instructions": "Hi",
        "ttlMs": 9,
        "cacheScope": "public",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "1"}},
    }
    plain = reply(asked(server(), "server/discover", {"_meta": META}))
    assert "instructions" not in plain.result
    assert (plain.result["ttlMs"], plain.result["cacheScope"]) == (0, "private")


@pytest.mark.parametrize(
    ("wanted", "agreed"),
    [
        ("2025-06-18", "2025-06-18"),
        ("2024-11-05", "2024-11-05"),
        ("2026-07-28", "2025-11-25"),
        (5, "2025-11-25"),
    ],
)
def test_initialize_agrees_on_a_revision(wanted: Any, agreed: str) -> None:
    machine = server()
    message = reply(asked(machine, "initialize", {**INITIALIZE, "protocolVersion": wanted}))
    assert message.result == {
        "protocolVersion": agreed,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "s", "version": "1"},
    }
    assert machine.state is SessionState.READY
    assert machine.revision is REVISIONS[agreed]
    assert error_code(asked(machine, "initialize", INITIALIZE, 2)) == -32600


def test_a_session_can_be_taken_up_again() -> None:
    machine = server()
    machine.resume({"capabilities": {"roots": {}}}, REVISIONS["2025-06-18"])
    event = asked(machine, "tools/list")
    assert isinstance(event, RequestReceived)
    assert (event.capabilities, event.revision.name) == ({"roots": {}}, "2025-06-18")
    machine = server()
    machine.resume({"capabilities": 5}, REVISIONS["2025-06-18"])
    event = asked(machine, "tools/list")
    assert isinstance(event, RequestReceived)
    assert event.capabilities == {}


def test_machines_of_one_session_number_their_requests_apart() -> None:
    one, other = server(request_prefix="a-"), server(request_prefix="b-")
    for machine in (one, other):
        machine.resume({}, REVISIONS["2025-06-18"])
    first, second = (one.start_request(calls.ping()).request_id for _ in range(2))
    assert (first, second) == ("a-1", "a-2")
    other.start_request(calls.ping())
    answer = b'{"jsonrpc":"2.0","id":"b-1","result":{}}'
    (dropped,) = one.receive_message(answer)
    assert isinstance(dropped, MessageDropped)
    (received,) = other.receive_message(answer)
    assert isinstance(received, ResponseReceived)


@pytest.mark.parametrize("method", sorted(HANDSHAKE_ONLY))
def test_methods_of_the_handshake_era_do_not_exist_in_the_stateless_one(method: str) -> None:
    assert error_code(asked(server(), method, {"_meta": META})) == -32601


@pytest.mark.parametrize("method", sorted(STATELESS_ONLY))
def test_methods_of_the_stateless_era_need_its_metadata(method: str) -> None:
    assert error_code(asked(server(), method)) == -32602


@pytest.mark.parametrize("version", ["2025-11-25", "1999-01-01", 5, None, []])
def test_a_version_that_is_not_spoken_is_refused_with_those_that_are(version: Any) -> None:
    meta = {**META, "io.modelcontextprotocol/protocolVersion": version}
    event = asked(server(), "tools/list", {"_meta": meta})
    if version is None:
        assert isinstance(event, RequestReceived), "a request without a version is of the handshake era"
        return
    message = reply(event)
    assert message.error.code == -32022
    assert message.error.data == {"supported": ["2026-07-28"], "requested": version}


@pytest.mark.parametrize("capabilities", [None, 5, []])
def test_a_stateless_request_declares_capabilities(capabilities: Any) -> None:
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": capabilities}
    assert error_code(asked(server(), "tools/list", {"_meta": meta})) == -32602


@pytest.mark.parametrize(
    ("token", "kept"), [(1, 1), ("a", "a"), (True, None), (1.5, None), (None, None), ([], None)]
)
def test_a_progress_token_is_a_number_or_text(token: Any, kept: Any) -> None:
    event = asked(server(), "tools/call", {"_meta": {**META, "progressToken": token}})
    assert isinstance(event, RequestReceived)
    assert event.progress_token == kept
    odd = asked(server(), "tools/call", {"_meta": 5})
    assert isinstance(odd, RequestReceived)


def test_an_id_is_used_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = server()
    asked(machine, "tools/list", {"_meta": META})
    assert error_code(asked(machine, "tools/list", {"_meta": META})) == -32600
    assert error_code(asked(machine, "server/discover", {"_meta": META})) == -32600
    machine.refuse(1, ErrorObject(-1, "no"))
    assert isinstance(asked(machine, "tools/list"), RequestReceived)
    monkeypatch.setattr(session_module, "MAX_PEER_REQUESTS", 1)
    assert error_code(asked(machine, "tools/list", request_id=2)) == -32600
    with pytest.raises(LocalProtocolError):
        machine.refuse(2, ErrorObject(-1, "no"))


def test_an_answer_that_json_cannot_hold_leaves_the_request_open() -> None:
    machine = server()
    asked(machine, "tools/list", {"_meta": META})
    with pytest.raises(LocalProtocolError):
        machine.answer(1, {"tools": object()})
    assert decode(machine.answer(1, {"tools": []}))


@pytest.mark.parametrize("method", ["tools/list", "resources/read"])
def test_hints_of_the_result_itself_win_and_interim_results_have_none(method: str) -> None:
    machine = server(ttl=9)
    asked(machine, method, {"_meta": META})
    (own,) = decode(machine.answer(1, {"ttlMs": 1, "cacheScope": "public"}))
    assert isinstance(own, Response)
    assert (own.result["ttlMs"], own.result["cacheScope"]) == (1, "public")
    asked(machine, method, {"_meta": META})
    (interim,) = decode(machine.answer(1, {"resultType": "input_required"}))
    assert isinstance(interim, Response)
    assert "ttlMs" not in interim.result


def test_a_message_that_is_none_is_answered_and_told() -> None:
    machine = server()
    for payload, code in ((b"{", -32700), (b"[]", -32600), (b'{"jsonrpc":"2.0","id":7,"method":5}', -32600)):
        ready, dropped = machine.receive_message(payload)
        assert error_code(ready) == code
        assert isinstance(dropped, MessageDropped)


def test_a_malformed_answer_of_the_client_is_not_answered() -> None:
    machine = server()
    asked(machine, "initialize", INITIALIZE)
    request_id = machine.start_request(calls.ping()).request_id or 0
    (event,) = machine.receive_message(b'{"jsonrpc":"2.0","id":%d,"result":5}' % request_id)
    assert not isinstance(event, MessageReady)


def test_the_word_that_initialization_is_over_says_nothing_new() -> None:
    machine = server()
    assert machine.receive_message(encode_notification("notifications/initialized", {})) == []
    assert len(machine.receive_message(encode_notification("notifications/other", {}))) == 1


def test_the_bare_machine_offers_nothing() -> None:
    assert error_code(asked(Session(), "anything")) == -32601
    bare = Session()
    outgoing = bare.start_notification("x", {"a": 1})
    assert (outgoing.method, outgoing.request_id) == ("x", None)
    assert LineSession().data_to_send() == b""
