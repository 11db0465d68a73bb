"""Which requests of a server its client refuses, and with which error.

MCP 2025-11-25: Elicitation and Sampling, "Capabilities" and "Error Handling"; Roots, "Error Handling".
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from routermcp_proto.client_session import ClientSession
from routermcp_proto.events import Event, MessageDropped, MessageReady, RequestReceived
from routermcp_proto.jsonrpc import encode_request
from routermcp_proto.types.server_requests import missing_capabilities, refusal_of
from tests.proto.pair import Pair

ELICIT, SAMPLE, ROOTS = "elicitation/create", "sampling/createMessage", "roots/list"
FULL: dict[str, Any] = {
    "elicitation": {"form": {}, "url": {}},
    "sampling": {"tools": {}, "context": {}},
    "roots": {},
}
FORM: dict[str, Any] = {"message": "Who?", "requestedSchema": {}}
PAGE = {"mode": "url", "message": "Open", "url": "https://example.com", "elicitationId": "1"}
HELLO = {"role": "user", "content": {"type": "text", "text": "Hello"}}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "a"}, {"type": "tool_use", "id": "b"}]}
RESULTS = [{"type": "tool_result", "toolUseId": "a"}, {"type": "tool_result", "toolUseId": "b"}]
SAID = {"type": "text", "text": "so"}


def sample(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), "maxTokens": 5, **more}


GOOD: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (ELICIT, FORM, FULL),
    (ELICIT, FORM, {"elicitation": {}}),
    (ELICIT, {**FORM, "mode": None}, {"elicitation": {"form": {}}}),
    (ELICIT, FORM, {"elicitation": True}),
    (ELICIT, PAGE, {"elicitation": {"url": {}}}),
    (SAMPLE, sample(HELLO), {"sampling": {}}),
    (SAMPLE, sample(HELLO, tools=None, toolChoice=None), {"sampling": {}}),
    (SAMPLE, sample(HELLO, tools=[{"name": "t"}], toolChoice={"mode": "auto"}), FULL),
    (SAMPLE, sample(HELLO, USE, {"role": "user", "content": RESULTS}, HELLO), FULL),
    (ROOTS, {}, {"roots": {}}),
]

#: Method, parameters, what is declared, the code, and words of the error.
BAD: list[tuple[str, dict[str, Any], dict[str, Any], int, str]] = [
    (ROOTS, {}, {}, -32601, "does not offer roots/list"),
    (SAMPLE, sample(HELLO), {"elicitation": {}}, -32601, "does not offer"),
    ("made/up", {}, FULL, -32601, "does not offer made/up"),
    (ELICIT, PAGE, {"elicitation": {}}, -32602, "elicitation.url"),
    (ELICIT, FORM, {"elicitation": {"url": {}}}, -32602, "elicitation.form"),
    (ELICIT, {**FORM, "mode": "voice"}, FULL, -32602, "elicitation.voice"),
    (SAMPLE, sample(HELLO, tools=[]), {"sampling": {}}, -32602, "sampling.tools"),
    (
        SAMPLE,
        sample(HELLO, toolChoice={"mode": "none"}),
        {"sampling": {"context": {}}},
        -32602,
        "sampling.tools",
    ),
    (ELICIT, {"message": 5}, FULL, -32602, "message: "),
    (ELICIT, {}, FULL, -32602, "message: "),
    (ELICIT, {**PAGE, "url": None}, FULL, -32602, "url is missing"),
    (SAMPLE, {"messages": "hello"}, FULL, -32602, "messages: "),
    (SAMPLE, sample({"role": "system", "content": SAID}), FULL, -32602, "not 'system'"),
    (SAMPLE, sample({"content": SAID}), FULL, -32602, "messages.0.role: "),
    (SAMPLE, sample(HELLO, USE), FULL, -32602, "a tool result is missing"),
    (SAMPLE, sample(USE, HELLO), FULL, -32602, "a tool result is missing"),
    (SAMPLE, sample(USE, {"role": "user", "content": RESULTS[:1]}), FULL, -32602, "a tool result is missing"),
    (SAMPLE, sample({"role": "user", "content": [*RESULTS, SAID]}), FULL, -32602, "mixed with other content"),
]


@pytest.mark.parametrize(("method", "params", "declared"), GOOD)
def test_what_the_user_may_be_asked(method: str, params: dict[str, Any], declared: dict[str, Any]) -> None:
    assert refusal_of(method, params, declared) is None
    assert missing_capabilities(method, params, declared) is None


@pytest.mark.parametrize(("method", "params", "declared", "code", "words"), BAD)
def test_what_is_refused(
    method: str, params: dict[str, Any], declared: dict[str, Any], code: int, words: str
) -> None:
    error = refusal_of(method, params, declared)
    assert error is not None
    assert error.code == code
    assert words in error.message


def test_the_capabilities_that_a_request_lacks() -> None:
    assert missing_capabilities(ELICIT, PAGE, {}) == {"elicitation": {"url": {}}}
    assert missing_capabilities(ELICIT, PAGE, {"elicitation": {}}) == {"elicitation": {"url": {}}}
    assert missing_capabilities(SAMPLE, sample(), {}) == {"sampling": {}}
    assert missing_capabilities(ELICIT, FORM, {}) == {"elicitation": {}}
    assert missing_capabilities("made/up", {}, FULL) == {"made/up": {}}


def ask(session: ClientSession, method: str, params: dict[str, Any]) -> Event:
    (event,) = session.receive_message(encode_request("q", method, params))
    return event


def test_a_session_of_the_handshake_era_refuses_without_asking_anybody() -> None:
    pair = Pair("2025-11-25", capabilities={"sampling": {}})
    pair.connect()
    refused = ask(pair.client, SAMPLE, sample(HELLO, tools=[]))
    assert isinstance(refused, MessageReady)
    assert json.loads(refused.outgoing.payload)["error"]["code"] == -32602
    assert isinstance(ask(pair.client, SAMPLE, sample(HELLO)), RequestReceived)


@pytest.mark.parametrize("method", ["ping", ROOTS, "made/up"])
def test_a_client_of_the_stateless_era_answers_no_request(method: str) -> None:
    """MCP 2026-07-28, Transports: the client must not send JSON-RPC responses, on any transport."""
    for protocol in ("auto", "2026-07-28"):
        pair = Pair(protocol, capabilities=FULL)
        pair.connect()
        dropped = ask(pair.client, method, {})
        assert isinstance(dropped, MessageDropped)
        assert "sends no requests" in dropped.problem
        assert not pair.client.data_to_send()


def test_a_ping_is_answered_while_the_era_is_not_known() -> None:
    """A server of the handshake era may ping before it has answered (MCP 2025-11-25, Lifecycle)."""
    session = ClientSession(capabilities=FULL)
    session.start_handshake()
    assert isinstance(ask(session, "ping", {}), MessageReady)
    assert isinstance(ask(session, ROOTS, {}), MessageDropped)
    insisting = ClientSession(protocol="2026-07-28", capabilities=FULL)
    insisting.start_handshake()
    assert isinstance(ask(insisting, "ping", {}), MessageDropped)


def test_a_question_that_is_forgotten_may_be_asked_again() -> None:
    pair = Pair("2025-11-25", capabilities={"sampling": {}})
    pair.connect()
    assert isinstance(ask(pair.client, SAMPLE, sample(HELLO)), RequestReceived)
    assert not isinstance(ask(pair.client, SAMPLE, sample(HELLO)), RequestReceived)
    pair.client.forget("q")
    pair.client.forget("q")
    assert isinstance(ask(pair.client, SAMPLE, sample(HELLO)), RequestReceived)
