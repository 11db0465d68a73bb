"""An authorization server whose access tokens are JWTs."""

from __future__ import annotations

import time
from typing import Any

from joserfc.jwk import ECKey, Key

from tests.gateway.access_tokens.issuing import key_set, signed
from tests.oauth.servers.protected_server import ProtectedServer
from tests.routermcp.server import Action, Exchange


class IssuingServer(ProtectedServer):
    """The authorization server; its own MCP endpoint is not used.

    Attributes:
        audience: What its tokens are for.
        scope: The scopes in them.
        keys: The keys that it publishes; it signs with the last one.
        fetched: How often they were asked for.
        treats_keys: How that is answered, None for as usual.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.audience = "https://gateway.example/mcp"
        self.scope = "mcp"
        self.keys: list[Key] = [ECKey.generate_key("P-256", {"kid": "1"})]
        self.fetched = 0
        self.treats_keys: Action | None = None

    def rotate(self) -> None:
        """Withdraw all keys, and sign with another one."""
        self.keys = [ECKey.generate_key("P-256", {"kid": f"{int(self.keys[-1].kid or 0) + 1}"})]

    def token(self, user: str = "alice", **changed: Any) -> str:
        """Return an access token, as a user who signs in gets it."""
        now = time.time()
        claims = {
            "iss": self.origin,
            "aud": self.audience,
            "sub": user,
            "scope": self.scope,
            "exp": now + self.life,
            **changed,
        }
        return signed({name: value for name, value in claims.items() if value is not None}, self.keys[-1])

    def _treat(self, exchange: Exchange) -> None:
        if exchange.seen.target != "/jwks":
            super()._treat(exchange)
            return
        self.fetched += 1
        if self.treats_keys is not None:
            self.treats_keys(exchange)
        else:
            exchange.status(200, key_set(*self.keys))

    def _metadata(self) -> dict[str, Any]:
        keys = {} if "jwks_uri" in self.odd_metadata else {"jwks_uri": f"{self.origin}/jwks"}
        return {**keys, **super()._metadata()}

    def _give(self, user: str) -> dict[str, Any]:
        return {**super()._give(user), "access_token": self.token(user)}
