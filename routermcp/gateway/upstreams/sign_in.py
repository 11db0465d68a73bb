"""The answer to a client whose user has to sign in at a server first.

A client that can be asked to open a URL is asked, in the stateless era by a result, in the handshake
era by the error -32042. Any other client gets an error with the URL in its data.

Sources: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation and
https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation#url-elicitation-required-error
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, cast

from routermcp_proto.error_codes import UNAUTHORIZED, URL_ELICITATION_REQUIRED
from routermcp_proto.exceptions import AuthorizationRequiredError, OAuthError, RPCError, TransportError
from routermcp_proto.http.outcomes import AUTHORIZATION_REQUIRED
from routermcp_proto.names import SERVER_ID_KEY

from ...oauth.flows.connections import UserAccess
from ..backend import Caller
from .input_required import InputRound, opens_urls

#: The key of the question among those of one request.
SIGN_IN_KEY = "routermcp.sign-in"


async def sign_in(
    required: AuthorizationRequiredError, asked: InputRound, access: UserAccess, wait_ms: int
) -> None:
    """Have a user sign in; return when that is done.

    Args:
        required: The error of the server.
        asked: The request for which the user has to sign in.
        access: The user's tokens of that server.
        wait_ms: Milliseconds to wait for a user who has opened the page.

    Raises:
        InputRequired: The client is asked, and the request comes again.
        RPCError: The client is told by an error.
    """
    caller = asked.caller
    if required.url is None or not opens_urls(caller):
        raise refusal(required, caller, AUTHORIZATION_REQUIRED)
    if caller.revision.peer_requests:
        raise elicitation_required(required, caller)
    answer = (asked.answers or {}).get(SIGN_IN_KEY)
    if not isinstance(answer, dict):
        raise asked.question(
            {SIGN_IN_KEY: {"method": "elicitation/create", "params": _sign_in_question(required)}}
        )
    if cast("dict[str, Any]", answer).get("action") != "accept":
        raise refusal(required, caller, "authorization_declined")
    try:
        await access.within(access.runtime, wait_ms).settled()
    except (OAuthError, TransportError) as error:
        raise refusal(required, caller, AUTHORIZATION_REQUIRED) from error


def refusal(required: AuthorizationRequiredError, caller: Caller, reason: str) -> RPCError:
    """Return the error for a client that cannot be asked to open a URL, or declined."""
    message = f"sign in at {required.server_id} first"
    if required.url is not None:
        message += f": {required.url}"
    return RPCError(message, code=UNAUTHORIZED, data={"reason": reason, **_sign_in_data(required, caller)})


def elicitation_required(required: AuthorizationRequiredError, caller: Caller) -> RPCError:
    """Return the error for a client of the handshake era that can be asked to open a URL."""
    message = f"sign in at {required.server_id} first"
    data = {"elicitations": [_sign_in_question(required)], **_sign_in_data(required, caller)}
    return RPCError(message, code=URL_ELICITATION_REQUIRED, data=data)


def _sign_in_data(required: AuthorizationRequiredError, caller: Caller) -> Mapping[str, Any]:
    told = {"server": required.server_id, "url": required.url, "user": caller.user_id}
    return {name: value for name, value in told.items() if value is not None}


def _sign_in_question(required: AuthorizationRequiredError) -> Mapping[str, Any]:
    return {
        "mode": "url",
        "message": f"Sign in at {required.server_id}",
        "url": required.url,
        "elicitationId": secrets.token_urlsafe(16),
        "_meta": {SERVER_ID_KEY: required.server_id},
    }
