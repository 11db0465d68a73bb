"""Keys that sign, by joserfc; imported only where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

#: The curve of ES256.
CURVE = "P-256"

#: The members of a private key as JWK (RFC 7518, section 6.2); others say what it may be used for.
KEY_MEMBERS = ("kty", "crv", "x", "y", "d")


class ProofKey:
    """A key of one user, by which tokens are bound to this application (RFC 9449).

    Args:
        kept: The private key as JWK; None, or no such key, for one that is made when it is first needed.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        self._key = _private_key(kept) if kept is not None else None

    def __repr__(self) -> str:
        return "<ProofKey>"

    @property
    def kept(self) -> dict[str, Any] | None:
        """The private key as JWK, None where none was needed so far."""
        return dict(self._key.as_dict(private=True)) if self._key is not None else None

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return claims as a signed proof."""
        key = self._key = self._key or ECKey.generate_key(CURVE)
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
        return jwt.encode(header, dict(claims), key, algorithms=["ES256"])


def _private_key(kept: Mapping[str, Any]) -> ECKey | None:
    """Return the key in a JWK, which another program may have written; None where there is none for ES256."""
    try:
        key = ECKey.import_key({name: kept[name] for name in KEY_MEMBERS})
        return key if key.is_private and key.curve_name == CURVE else None
    except (JoseError, ValueError, TypeError, KeyError):
        return None


class AssertionKey:
    """The private key of an application (RFC 7523).

    Args:
        pem: The key as PEM.
        algorithm: Such as ``ES256`` or ``RS256``.
    """

    def __init__(self, pem: str, algorithm: str) -> None:
        kind = RSAKey if algorithm.startswith(("RS", "PS")) else ECKey
        self._key = kind.import_key(pem)
        self._algorithm = algorithm

    def __repr__(self) -> str:
        return f"<AssertionKey {self._algorithm}>"

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return claims as a signed assertion."""
        return jwt.encode({"alg": self._algorithm}, dict(claims), self._key, algorithms=[self._algorithm])
