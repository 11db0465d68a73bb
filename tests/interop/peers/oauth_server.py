"""A server on ``fastmcp`` that users sign in at, with the authorization server of ``fastmcp`` itself.

Run with the interpreter of the peer's own environment: ``oauth_server.py PORT SECONDS FILE``. Tokens
last so many seconds, and refresh tokens rotate. What becomes of them goes into the file, a JSON object
a line: ``event`` and ``family``, the number of the sign-in that they go back to.
"""

from __future__ import annotations

import itertools
import json
import sys

import fastmcp.server.auth.providers.in_memory as in_memory
from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token
from mcp.server.auth.settings import ClientRegistrationOptions, RevocationOptions
from starlette.responses import Response

port, life = int(sys.argv[1]), int(sys.argv[2])
in_memory.DEFAULT_ACCESS_TOKEN_EXPIRY_SECONDS = life
told = open(sys.argv[3], "a", buffering=1)  # noqa: SIM115 - for as long as the program runs


class Provider(in_memory.InMemoryOAuthProvider):
    """Tells what it does."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.families: dict[str, int] = {}
        self._numbers = itertools.count()

    def _tell(self, event: str, token: str) -> None:
        told.write(json.dumps({"event": event, "family": self.families.get(token)}) + "\n")

    def _given(self, tokens, family: int):
        self.families[tokens.access_token] = self.families[tokens.refresh_token] = family
        return tokens

    async def exchange_authorization_code(self, client, authorization_code):
        tokens = await super().exchange_authorization_code(client, authorization_code)
        return self._given(tokens, next(self._numbers))

    async def load_refresh_token(self, client, refresh_token):
        found = await super().load_refresh_token(client, refresh_token)
        if found is None:
            self._tell("refused", refresh_token)
        return found

    async def exchange_refresh_token(self, client, refresh_token, scopes):
        self._tell("renewed", refresh_token.token)
        tokens = await super().exchange_refresh_token(client, refresh_token, scopes)
        return self._given(tokens, self.families[refresh_token.token])

    async def load_access_token(self, token):
        known = token in self.access_tokens
        found = await super().load_access_token(token)
        if found is None:
            self._tell("late" if known else "unknown", token)
        return found


origin = f"http://127.0.0.1:{port}"
provider = Provider(
    base_url=origin,
    required_scopes=["user"],
    client_registration_options=ClientRegistrationOptions(
        enabled=True, valid_scopes=["user"], default_scopes=["user"]
    ),
    revocation_options=RevocationOptions(enabled=True),
)
server = FastMCP("oauth-peer", auth=provider)


@server.tool
def family() -> int:
    """Return the number of the sign-in that the token of this call goes back to."""
    token = get_access_token()
    return provider.families[token.token]


@server.custom_route("/forget", methods=["POST"])
async def forget(request):
    """Forget all clients and tokens, as a server does that is installed anew."""
    for kept in (provider.clients, provider.access_tokens, provider.refresh_tokens):
        kept.clear()
    return Response(status_code=204)


server.run(transport="http", host="127.0.0.1", port=port, show_banner=False)
