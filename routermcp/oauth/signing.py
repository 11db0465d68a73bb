"""Keys that sign, by joserfc; imported only where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

#: The curve of ES256.
CURVE = "P-256"


class ProofKey:
    """A key of one user, by which tokens are bound to this application (RFC 9449).

    Args:
        kept: The private key as JWK, None for one that is made when it is first needed.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        self._key = ECKey.import_key(dict(kept)) if kept is not None else None

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
