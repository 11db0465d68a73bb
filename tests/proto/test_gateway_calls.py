"""What is asked of a gateway about a user's sign-ins, and how its answers are read."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto import gateway_calls
from routermcp_proto.calls import Call
from routermcp_proto.exceptions import ResponseValidationError

BUILT: list[tuple[Call[Any], str, dict[str, Any], bool]] = [
    (gateway_calls.connections(), "routermcp/connections", {}, True),
    (gateway_calls.authorize("mail", None), "routermcp/authorize", {"serverId": "mail"}, True),
    (
        gateway_calls.authorize("mail", "/inbox"),
        "routermcp/authorize",
        {"serverId": "mail", "nextUrl": "/inbox"},
        True,
    ),
    (
        gateway_calls.authorize("mail", None, ["mail.send"]),
        "routermcp/authorize",
        {"serverId": "mail", "scopes": ["mail.send"]},
        True,
    ),
    (
        gateway_calls.sign_in_status("mail", "https://as.example/?state=s"),
        "routermcp/signIn",
        {"serverId": "mail", "url": "https://as.example/?state=s"},
        True,
    ),
    (
        gateway_calls.complete_authorization("https://app.example/?code=c"),
        "routermcp/completeAuthorization",
        {"callbackUrl": "https://app.example/?code=c"},
        False,
    ),
    (gateway_calls.revoke_grant("mail"), "routermcp/revoke", {"serverId": "mail"}, True),
]


@pytest.mark.parametrize(("call", "method", "params", "repeatable"), BUILT)
def test_what_is_asked(call: Call[Any], method: str, params: dict[str, Any], repeatable: bool) -> None:
    assert (call.method, call.params, call.safe) == (method, params, repeatable)


def test_what_is_answered() -> None:
    kept = {"serverId": "mail", "state": "connected", "expiresAt": 12.5, "scopes": ["read"], "more": 1}
    (mail, other) = (
        gateway_calls.connections()
        .parse({"connections": [kept, {"serverId": "x", "state": "revoked"}]})
        .value.connections
    )
    assert (mail.serverId, mail.state, mail.expiresAt, mail.scopes) == ("mail", "connected", 12.5, ["read"])
    assert (other.expiresAt, other.scopes) == (None, [])
    begun = (
        gateway_calls.authorize("mail", None).parse({"serverId": "mail", "url": "u", "expiresAt": 1}).value
    )
    assert (begun.url, begun.expiresAt) == ("u", 1.0)
    asked = (
        gateway_calls.sign_in_status("mail", "u")
        .parse({"serverId": "mail", "waits": False, "done": True})
        .value
    )
    assert (asked.serverId, asked.waits, asked.done) == ("mail", False, True)
    done = gateway_calls.complete_authorization("u").parse({"serverId": "mail", "nextUrl": "/inbox"}).value
    assert (done.serverId, done.nextUrl) == ("mail", "/inbox")


@pytest.mark.parametrize("answer", [{}, {"connections": [{"state": "connected"}]}, {"connections": 1}])
def test_what_is_no_answer(answer: dict[str, Any]) -> None:
    with pytest.raises(ResponseValidationError, match="routermcp/connections"):
        gateway_calls.connections().parse(answer)
