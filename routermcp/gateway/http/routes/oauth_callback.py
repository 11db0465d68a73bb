"""The page that browsers come back to after signing in at a server behind the gateway."""

from __future__ import annotations

import logging

from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.exceptions import MCPError, OAuthError, TokenStoreError
from routermcp_proto.jsonrpc import ErrorObject

from ....oauth.result_page import result_page
from ...errors import Rejected
from ...users.methods import STORE_FAILED, UserMethods
from ...users.oauth_state import PATH
from ...wording import as_keys
from ..asgi import RequestHead, ResponseWriter, Send

log = logging.getLogger("routermcp.gateway")

#: The URL of this page holds the code, which no other page may learn.
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),
]


async def answer_oauth_callback(head: RequestHead, query: bytes, accounts: UserMethods, send: Send) -> None:
    """Complete the sign-in that a browser comes back from, and show or redirect to what follows.

    Raises:
        Rejected: The request is not a GET.
    """
    if head.method != "GET":
        error = ErrorObject(INVALID_REQUEST, f"{PATH} takes GET")
        raise Rejected(405, error, headers=[(b"allow", b"GET")])
    try:
        alias, next_url = await accounts.come_back(f"{PATH}?{query.decode('latin-1')}")
    except TokenStoreError as error:
        log.warning("a sign-in failed: %s", error)
        status, title, text = 503, "That did not work", f"{STORE_FAILED.capitalize()}."
    except OAuthError as error:
        status, title, text = 400, "That did not work", as_keys(str(error))
    except MCPError as error:
        log.warning("a sign-in failed: %s", error)
        status, title, text = 502, "That did not work", "The authorization server could not be asked."
    else:
        if next_url is not None and next_url.isascii() and next_url.isprintable():
            await ResponseWriter(send).empty(303, [(b"location", next_url.encode("ascii")), *_HEADERS])
            return
        status, title = 200, "You are signed in"
        text = f"The gateway may use {alias} for you now. You can close this page."
    page = result_page(title, text)
    await ResponseWriter(send).document(page, status, _HEADERS, b"text/html; charset=utf-8")
