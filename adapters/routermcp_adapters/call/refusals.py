"""What the answer to a call means that is no result: what may help, or the error that it is."""

from __future__ import annotations

from enum import Enum
from typing import Any

from routermcp_proto.calls import Call
from routermcp_proto.error_codes import HEADER_MISMATCH
from routermcp_proto.events import HTTPRefused
from routermcp_proto.exceptions import MCPError, TransportError
from routermcp_proto.http.lost_session import Verdict, error_in
from routermcp_proto.http.outcomes import Outcome, refusal_error, rpc_error
from routermcp_proto.session.handshake import STATELESS_ERRORS
from routermcp_proto.versions import Revision


class Remedy(Enum):
    """What a call that the server refused can be helped with, once each."""

    RENEW_SESSION = "agree with the server anew"
    LIST_TOOLS = "learn anew which headers the tools declare"


def describe_call(call: Call[Any]) -> str:
    """Name a call for people, for example ``tools/call 'add'``."""
    return f"{call.method} {str(call.params[call.named_by])[:200]!r}" if call.named_by else call.method


def remedy_for(
    call: Call[Any], outcome: Outcome | None, verdict: Verdict, revision: Revision
) -> Remedy | None:
    """Say what may help a call that was refused.

    Args:
        call: The call.
        outcome: Its outcome.
        verdict: What that says of the session.
        revision: The revision of the session.
    """
    if verdict is not Verdict.LIVES:
        return Remedy.RENEW_SESSION
    error, refused = error_in(outcome)
    # Any other answer with that code may come from a tool that ran.
    by_headers = revision.routing_headers and refused is not None and refused.status == 400
    mismatch = by_headers and error is not None and error.code == HEADER_MISMATCH
    return Remedy.LIST_TOOLS if mismatch and call.named_by == "name" else None


def failure_of(call: Call[Any], outcome: Outcome | None, *, place: str, gateway: bool) -> MCPError:
    """Return the error of a call that nothing helps.

    Args:
        call: The call.
        outcome: Its outcome, None where there is no answer.
        place: Where the server is, for people.
        gateway: Whether it is a RouterMCP gateway.
    """
    error, refused = error_in(outcome)
    if error is not None and (refused is None or _answers_the_call(refused)):
        return rpc_error(
            error, method=call.method, about=describe_call(call), gateway=gateway, refused=refused
        )
    if refused is not None:
        return refusal_error(refused, place)
    return TransportError(f"{describe_call(call)}: the server gave no answer", code="protocol")


def _answers_the_call(refused: HTTPRefused) -> bool:
    """Whether the JSON-RPC error in a refusal is the server's answer rather than a proxy's remark."""
    if refused.error is None or refused.status in (429, 502, 503, 504):
        return False
    return refused.addressed or refused.error.code in STATELESS_ERRORS
