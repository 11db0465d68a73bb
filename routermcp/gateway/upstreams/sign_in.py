"""What a client is told whose user has to sign in at a server first.

How it is told depends on what it can do: a client that can be asked to open a URL is asked, in the
stateless era by a result, in the handshake era by the error -32042. Any other gets an error with
the URL in its data.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation and
https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation#url-elicitation-required-error
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, cast

from routermcp_proto.error_codes import UNAUTHORIZED, URL_ELICITATION_REQUIRED
from routermcp_proto.exceptions import AuthorizationRequiredError, OAuthError, RPCError, TransportError
from routermcp_proto.gateway_calls import SERVER_ID_KEY
from routermcp_proto.http.outcomes import AUTHORIZATION_REQUIRED

from ...oauth.flows.connections import UserAccess
from ..backend import Caller
from .request_state import Interlude, opens_pages

#: Names the question among those of one request.
QUESTION = "routermcp.sign-in"

#: Milliseconds that a request waits for a user who has opened the page, before it is refused:
#: less than clients wait by default.
WAIT_TIMEOUT = 20_000


async def sign_in(required: AuthorizationRequiredError, asked: Interlude, access: UserAccess) -> None:
    """Have a user sign in; returns when that is done.

    Args:
        required: What the server says.
        asked: The request for which the user has to.
        access: The user's tokens of that server.

    Raises:
        InputNeeded: The client is asked, and the request comes again.
        RPCError: The client is told by an error.
    """
    caller = asked.caller
    if required.url is None or not opens_pages(caller):
        raise refusal(required, caller, AUTHORIZATION_REQUIRED)
    if caller.revision.peer_requests:
        raise elicitation_required(required, caller)
    answer = (asked.answers or {}).get(QUESTION)
    if not isinstance(answer, dict):
        raise asked.question({QUESTION: {"method": "elicitation/create", "params": _question(required)}})
    if cast("dict[str, Any]", answer).get("action") != "accept":
        raise refusal(required, caller, "authorization_declined")
    try:
        await access.within(access.runtime, WAIT_TIMEOUT).settled()
    except (OAuthError, TransportError) as error:
        raise refusal(required, caller, AUTHORIZATION_REQUIRED) from error


def refusal(required: AuthorizationRequiredError, caller: Caller, reason: str) -> RPCError:
    """Return the error for a client that cannot be asked to open a URL, or did not want to."""
    message = f"sign in at {required.server_id} first"
    if required.url is not None:
        message += f": {required.url}"
    return RPCError(message, code=UNAUTHORIZED, data={"reason": reason, **_told(required, caller)})


def elicitation_required(required: AuthorizationRequiredError, caller: Caller) -> RPCError:
    """Return the error for a client of the handshake era that can be asked to open a URL."""
    message = f"sign in at {required.server_id} first"
    data = {"elicitations": [_question(required)], **_told(required, caller)}
    return RPCError(message, code=URL_ELICITATION_REQUIRED, data=data)


def _told(required: AuthorizationRequiredError, caller: Caller) -> Mapping[str, Any]:
    told = {"server": required.server_id, "url": required.url, "user": caller.user_id}
    return {name: value for name, value in told.items() if value is not None}


def _question(required: AuthorizationRequiredError) -> Mapping[str, Any]:
    return {
        "mode": "url",
        "message": f"Sign in at {required.server_id}",
        "url": required.url,
        "elicitationId": secrets.token_urlsafe(16),
        "_meta": {SERVER_ID_KEY: required.server_id},
    }
