"""Proof of possession of the key that a token is bound to (DPoP, RFC 9449)."""

from __future__ import annotations

import hashlib
from typing import Any

from ..http.url import without_query
from .challenges import Challenge
from .client_auth import Signer
from .metadata import AuthorizationTarget
from .steps import Clock, Entropy, base64url

#: The algorithm of our proofs, which RFC 9449 expects everywhere that DPoP is.
ALGORITHM = "ES256"

#: Bytes of randomness in the id of a proof.
PROOF_ID_BYTES = 16

USE_NONCE = "use_dpop_nonce"

#: URLs whose nonces are known: a token endpoint and an MCP endpoint, and those of a server that moved.
MAX_NONCES = 8


class Prover:
    """Makes proofs that a request comes from the holder of a key.

    Args:
        signer: Signs with the key; puts its public half and ``typ: dpop+jwt`` into the header.
        random: Makes the ids of proofs.
        clock: Tells the time.
    """

    def __init__(self, signer: Signer, random: Entropy, clock: Clock) -> None:
        self._signer = signer
        self._random = random
        self._clock = clock
        self._nonces: dict[str, str] = {}

    def note_nonce(self, url: str, nonce: str) -> None:
        """Note the nonce that proofs for a URL carry from now on (RFC 9449, sections 8.2 and 9)."""
        self._nonces.pop(without_query(url), None)
        self._nonces[without_query(url)] = nonce
        if len(self._nonces) > MAX_NONCES:
            del self._nonces[next(iter(self._nonces))]

    def proof(self, method: str, url: str, *, token: str | None = None) -> str:
        """Return a proof for one request; each is good once.

        Args:
            method: Its method.
            url: Where it goes; query and fragment do not count.
            token: The access token that goes with it.
        """
        nonce = self._nonces.get(without_query(url))
        claims: dict[str, Any] = {
            "jti": base64url(self._random(PROOF_ID_BYTES)),
            "htm": method,
            "htu": without_query(url),
            "iat": int(self._clock()),
        }
        if token is not None:
            claims["ath"] = base64url(hashlib.sha256(token.encode("ascii", "replace")).digest())
        if nonce is not None:
            claims["nonce"] = nonce
        return self._signer.sign(claims)


def binds_tokens(
    target: AuthorizationTarget, challenge: Challenge | None, *, prefers: bool, refused: bool
) -> bool:
    """Return whether tokens are to be bound to a key.

    The MCP server decides, as most take plain tokens only: by its metadata (RFC 9728, section 2)
    or its challenge (RFC 9449, section 7.1). An authorization server that could bind tokens says
    nothing about that.

    Args:
        target: The MCP server, and the authorization server that it trusts.
        challenge: The challenge of the MCP server, None where there is none.
        prefers: Whether the application wants bound tokens where the MCP server says nothing.
        refused: Whether the MCP server has refused a bound token.
    """
    if target.dpop_required or (challenge is not None and challenge.scheme == "dpop"):
        return True
    offered = ALGORITHM in target.dpop_algorithms or (challenge is not None and challenge.takes_proofs)
    return (offered or prefers) and not refused and ALGORITHM in target.server.dpop_algorithms
