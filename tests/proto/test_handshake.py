"""What a client finds out about every kind of server."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto.exceptions import LocalProtocolError, MCPError, ResponseValidationError, RPCError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.session.handshake import (
    Agreement,
    Handshake,
    HandshakeReply,
    HandshakeStep,
    Refused,
    negotiate,
)
from routermcp_proto.types import DiscoverResult, InitializeResult
from routermcp_proto.versions import REVISIONS

INFO = {"name": "app", "version": "1"}
CAPABILITIES: dict[str, Any] = {"roots": {}}


def found(*versions: str, **more: Any) -> DiscoverResult:
    return DiscoverResult.model_validate(
        {"supportedVersions": list(versions), "capabilities": {"tools": {}}, **more}
    )


def initialized(version: str) -> InitializeResult:
    return InitializeResult.model_validate(
        {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
    )


def refused(code: int | None = None, supported: Any = None) -> Refused:
    if code is None:
        return Refused(None, MCPError("HTTP 400"))
    data = {"supported": supported} if supported is not None else None
    return Refused(ErrorObject(code, "no", data), RPCError("no", code=code))


def follow(protocol: str, *replies: HandshakeReply) -> tuple[list[str], Agreement]:
    """Give the handshake these replies; return its requests as ``method revision``, and its end."""
    handshake = negotiate(protocol, INFO, CAPABILITIES)
    steps = [words(next(handshake))]
    steps += [words(handshake.send(reply)) for reply in replies[:-1]]
    return steps, ended(handshake, replies[-1])


def words(step: HandshakeStep) -> str:
    return f"{step.call.method} {step.revision.name}"


def ended(handshake: Handshake, reply: HandshakeReply) -> Agreement:
    with pytest.raises(StopIteration) as end:
        handshake.send(reply)
    return end.value.value


def failed(protocol: str, *replies: HandshakeReply) -> MCPError:
    handshake = negotiate(protocol, INFO, CAPABILITIES)
    next(handshake)
    for reply in replies[:-1]:
        handshake.send(reply)
    with pytest.raises(MCPError) as caught:
        handshake.send(replies[-1])
    return caught.value


DISCOVER = "server/discover 2026-07-28"
INITIALIZE = "initialize 2025-11-25"


@pytest.mark.parametrize(
    "versions", [["2026-07-28"], ["2025-11-25", "2026-07-28"], ["2099-01-01", "2026-07-28"]]
)
def test_a_stateless_server_needs_one_request(versions: list[str]) -> None:
    info = {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "2"}}
    reply = found(*versions, instructions="Hi", _meta=info)
    steps, agreement = follow("auto", reply)
    assert steps == [DISCOVER]
    assert agreement.revision.name == "2026-07-28"
    assert agreement.discovered is reply
    server = agreement.server
    assert (server.protocolVersion, server.instructions) == ("2026-07-28", "Hi")
    assert (server.serverInfo.name, server.serverInfo.version) == ("s", "2")
    assert server.capabilities.tools is not None


def test_a_server_that_does_not_name_itself_is_taken_as_it_is() -> None:
    _, agreement = follow("auto", found("2026-07-28"))
    assert agreement.server.serverInfo.name == ""


@pytest.mark.parametrize(
    "reply",
    [
        refused(),
        refused(-32601),
        refused(-32600),
        refused(-32000),
        found(),
        found("2025-11-25", "2025-06-18"),
        refused(-32022, ["2025-11-25"]),
    ],
)
def test_a_server_of_the_handshake_era_is_initialized(reply: HandshakeReply) -> None:
    steps, agreement = follow("auto", reply, initialized("2025-06-18"))
    assert steps == [DISCOVER, INITIALIZE]
    assert agreement.revision.name == "2025-06-18"
    assert agreement.discovered is None


def test_an_older_server_is_asked_in_a_revision_that_it_names() -> None:
    steps, _ = follow("auto", refused(-32022, ["2025-06-18", "2024-11-05"]), initialized("2025-06-18"))
    assert steps == [DISCOVER, "initialize 2025-06-18"]


def test_a_revision_that_was_refused_and_named_is_asked_for_again_once() -> None:
    steps, agreement = follow("auto", refused(-32022, ["2026-07-28"]), found("2026-07-28"))
    assert steps == [DISCOVER, DISCOVER]
    assert agreement.revision.name == "2026-07-28"
    error = failed("auto", refused(-32022, ["2026-07-28"]), refused(-32022, ["2026-07-28"]))
    assert isinstance(error, RPCError | ResponseValidationError)


@pytest.mark.parametrize("reply", [refused(-32022, ["2099-01-01"]), found("2099-01-01")])
def test_a_server_of_the_future_has_nothing_in_common(reply: HandshakeReply) -> None:
    error = failed("auto", reply)
    assert isinstance(error, ResponseValidationError)
    assert "2099-01-01" in str(error)
    assert "2026-07-28" in str(error)


@pytest.mark.parametrize("code", [-32020, -32021, -32022])
def test_an_error_of_the_stateless_era_is_not_fallen_back_from(code: int) -> None:
    error = failed("auto", refused(code))
    assert isinstance(error, RPCError)
    assert error.code == code


@pytest.mark.parametrize("odd", ["2026-07-28", 5, None, [5], {}])
def test_what_a_refusal_lists_may_be_anything(odd: Any) -> None:
    assert isinstance(
        failed("auto", Refused(ErrorObject(-32022, "no", {"supported": odd}), MCPError("x"))), MCPError
    )
    assert isinstance(failed("auto", Refused(ErrorObject(-32022, "no", odd), MCPError("x"))), MCPError)


def test_a_version_that_nobody_knows_is_refused() -> None:
    error = failed("auto", refused(), initialized("2099-01-01"))
    assert "2099-01-01" in str(error)


def test_who_answers_initialize_has_sessions_whatever_it_claims() -> None:
    _, agreement = follow("auto", refused(), initialized("2026-07-28"))
    assert agreement.revision.name == "2025-11-25"


def test_the_refusal_of_initialize_is_what_is_told() -> None:
    last = refused(-32603)
    assert failed("auto", refused(-32601), last) is last.cause
    again = refused()
    told = failed("auto", refused(), last, again)
    assert told is last.cause
    assert told.__cause__ is again.cause


def test_a_server_that_did_not_hear_the_probe_is_probed_again() -> None:
    """A gateway in front of it was restarting, for example."""
    steps, agreement = follow("auto", refused(), refused(-32601), found("2026-07-28"))
    assert steps == [DISCOVER, INITIALIZE, DISCOVER]
    assert agreement.revision.name == "2026-07-28"


def test_a_server_that_was_slow_to_answer_the_probe_is_probed_again() -> None:
    """It may have gone over to the stateless era with the probe that nobody waits for any more."""
    steps, agreement = follow("auto", refused(), refused(-32022), found("2026-07-28"))
    assert steps == [DISCOVER, INITIALIZE, DISCOVER]
    assert agreement.revision.name == "2026-07-28"
    assert failed("2025-11-25", refused(-32022)).code == -32022  # type: ignore[attr-defined]


def test_initialize_is_asked_again_in_a_revision_that_the_refusal_names() -> None:
    steps, agreement = follow("auto", refused(), refused(-32602, ["2024-11-05"]), initialized("2024-11-05"))
    assert steps == [DISCOVER, INITIALIZE, "initialize 2024-11-05"]
    assert agreement.revision.name == "2024-11-05"
    assert failed("2025-11-25", refused(-32602, ["2025-11-25"]))


def in_words(message: str, data: Any = None, code: int = -32602) -> Refused:
    return Refused(ErrorObject(code, message, data), RPCError(message, code=code))


@pytest.mark.parametrize("protocol", ["auto", "2025-11-25"])
@pytest.mark.parametrize(
    ("reply", "named"),
    [
        (in_words("Unsupported protocol version", {"expected": "2025-06-18"}), "2025-06-18"),
        (in_words("2025-11-25 is unknown; supported: 2024-11-05, 2025-03-26"), "2025-03-26"),
        (in_words("bad version", ["2024-11-05"], -32600), "2024-11-05"),
        (in_words("bad version", "use 2025-06-18 or 2026-07-28"), "2025-06-18"),
        (Refused(None, MCPError("HTTP 400; it says: supported versions: 2025-06-18")), "2025-06-18"),
    ],
)
def test_initialize_is_asked_again_in_a_revision_that_is_named_in_words(
    protocol: str, reply: Refused, named: str
) -> None:
    first = [refused(-32601)] if protocol == "auto" else []
    steps, agreement = follow(protocol, *first, reply, initialized(named))
    assert steps[-1] == f"initialize {named}"
    assert len(steps) == len(first) + 2
    assert agreement.revision.name == named


@pytest.mark.parametrize(
    "reply",
    [
        in_words("unsupported protocol version 2025-11-25"),
        in_words("no", {"serverInfo": {"released": "2026-01-01"}}),
        in_words("x" * 1_000 + "2025-06-18"),
    ],
)
def test_a_refusal_that_names_no_other_revision_is_final(reply: Refused) -> None:
    assert failed("2025-11-25", reply) is reply.cause


@pytest.mark.parametrize("protocol", [name for name in REVISIONS if name != "2026-07-28"])
def test_a_revision_can_be_insisted_on(protocol: str) -> None:
    steps, agreement = follow(protocol, initialized(protocol))
    assert steps == [f"initialize {protocol}"]
    assert agreement.revision.name == protocol
    request = next(negotiate(protocol, INFO, CAPABILITIES)).call
    assert request.params == {"protocolVersion": protocol, "capabilities": CAPABILITIES, "clientInfo": INFO}


def test_insisting_on_the_stateless_era_never_falls_back() -> None:
    steps, agreement = follow("2026-07-28", found("2026-07-28"))
    assert (steps, agreement.revision.name) == ([DISCOVER], "2026-07-28")
    steps, _ = follow("2026-07-28", refused(-32022, ["2026-07-28"]), found("2026-07-28"))
    assert steps == [DISCOVER, DISCOVER]
    last = refused(-32601)
    assert failed("2026-07-28", last) is last.cause


def test_an_answer_to_another_question_is_refused() -> None:
    assert isinstance(failed("2026-07-28", initialized("2025-11-25")), ResponseValidationError)
    assert isinstance(failed("2025-11-25", found("2026-07-28")), ResponseValidationError)


def test_an_unknown_revision_cannot_be_insisted_on() -> None:
    with pytest.raises(LocalProtocolError, match=r"2031.*2026-07-28"):
        negotiate("2031", INFO, CAPABILITIES)
