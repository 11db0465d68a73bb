"""An issuer of tokens whose clock and keys a test decides about."""

from __future__ import annotations

import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey

from routermcp.gateway.access_tokens.checker import TokenRules
from routermcp.gateway.access_tokens.signatures import VerificationKeys, read_key_set
from routermcp.gateway.config.access import ASYMMETRIC

ISSUER = "https://id.example/realms/demo"
AUDIENCE = "https://gateway.example/mcp"
NOW = 1_800_000_000.0

RULES = TokenRules(ISSUER, frozenset({AUDIENCE}), frozenset(ASYMMETRIC))

#: Signs in a twentieth of the time that RSA takes.
KEY = ECKey.generate_key("P-256", {"kid": "first"})
OTHER = OKPKey.generate_key("Ed25519", {"kid": "second"})


class _AnyAlgorithm(jws.JWSRegistry):
    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        """Let every header through."""


def claims(**changed: Any) -> dict[str, Any]:
    """Return good claims with changes; None leaves a claim out."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "iat": NOW - 10,
        "exp": NOW + 300,
        "client_id": "app",
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(payload: Any, key: Key = KEY, **header: Any) -> str:
    """Return a token; the header may be changed, and None leaves a member out."""
    members = {"typ": "at+jwt", "alg": "ES256", "kid": key.kid, **header}
    kept = {name: value for name, value in members.items() if value is not None}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jws.serialize_compact(kept, body, key, registry=_AnyAlgorithm())


def token(key: Key = KEY, header: dict[str, Any] | None = None, **changed: Any) -> str:
    """Return a good token, but for the changes."""
    return signed(claims(**changed), key, **(header or {}))


def key_set(*keys: Key) -> dict[str, Any]:
    """Return what an issuer publishes."""
    return {"keys": [key.as_dict(private=False) for key in keys]}


def public(*keys: Key) -> VerificationKeys:
    return read_key_set(key_set(*keys))
