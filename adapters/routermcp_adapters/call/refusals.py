"""What the answer to a call means that is no result: what may help, or the error that it is."""

from __future__ import annotations

from enum import Enum
from typing import Any

from routermcp_proto.calls import Call
from routermcp_proto.error_codes import HEADER_MISMATCH, UNSUPPORTED_VERSION
from routermcp_proto.events import ErrorReceived, HTTPRefused
from routermcp_proto.exceptions import MCPError, TransportError
from routermcp_proto.http.outcomes import Outcome, refusal_error, rpc_error, session_unknown, uninitialized
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.session.handshake import STATELESS_ERRORS


class Remedy(Enum):
    """What a call that the server refused can be helped with, once each."""

    RENEW_SESSION = "agree with the server anew"
    LIST_TOOLS = "learn anew which headers the tools declare"


def describe_call(call: Call[Any]) -> str:
    """Name a call for people, for example ``tools/call 'add'``."""
    return f"{call.method} {str(call.params[call.named_by])[:200]!r}" if call.named_by else call.method


def remedy_for(call: Call[Any], outcome: Outcome | None, session_id: str | None) -> Remedy | None:
    """Say what may help a call that the server did not even begin to work on."""
    error, refused = _error_of(outcome)
    if uninitialized(error, refused) if session_id is None else session_unknown(error, refused):
        return Remedy.RENEW_SESSION
    if error is not None and error.code == UNSUPPORTED_VERSION:
        return Remedy.RENEW_SESSION
    if error is not None and error.code == HEADER_MISMATCH and call.named_by == "name":
        return Remedy.LIST_TOOLS
    return None


def failure_of(call: Call[Any], outcome: Outcome | None, *, place: str, gateway: bool) -> MCPError:
    """Return the error of a call that nothing helps.

    Args:
        call: The call.
        outcome: Its outcome, None where there is no answer.
        place: Where the server is, for people.
        gateway: Whether it is a RouterMCP gateway.
    """
    error, refused = _error_of(outcome)
    if error is not None and (refused is None or _answers_the_call(refused)):
        return rpc_error(
            error, method=call.method, about=describe_call(call), gateway=gateway, refused=refused
        )
    if refused is not None:
        return refusal_error(refused, place)
    return TransportError(f"{describe_call(call)}: the server gave no answer", code="protocol")


def _error_of(outcome: Outcome | None) -> tuple[ErrorObject | None, HTTPRefused | None]:
    if isinstance(outcome, ErrorReceived):
        return outcome.error, None
    if isinstance(outcome, HTTPRefused):
        return outcome.error, outcome
    return None, None


def _answers_the_call(refused: HTTPRefused) -> bool:
    """Whether the JSON-RPC error in a refusal is the server's answer rather than a proxy's remark."""
    if refused.error is None or refused.status in (429, 502, 503, 504):
        return False
    return refused.addressed or refused.error.code in STATELESS_ERRORS
