"""Session ids signed for the client that opened the session.

A session id goes out with a signature (HMAC-SHA256, RFC 2104) over the id and its owner. The
gateway checks what comes back against its sender, so it stores nothing, and processes that
share sessions only share the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from routermcp_proto.exceptions import ConfigError

#: Bytes of a secret: the length of the digest, as RFC 2104, section 3, asks for.
SIGNING_SECRET_BYTES = 32


class SessionIdSigner:
    """Signs session ids and verifies the signatures.

    Args:
        secret: At least 32 random bytes, shared by all processes that share sessions; None for a
            random secret of this process.

    Raises:
        ConfigError: The secret is too short.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        if secret is not None and len(secret) < SIGNING_SECRET_BYTES:
            raise ConfigError(
                f"the secret that signs session ids is too short: give at least {SIGNING_SECRET_BYTES} bytes"
            )
        self._secret = secret if secret is not None else secrets.token_bytes(SIGNING_SECRET_BYTES)

    def __repr__(self) -> str:
        return "<SessionIdSigner>"

    def sign(self, session_id: bytes, owner: Sequence[bytes]) -> bytes:
        """Return a session id with its signature, as the client gets it.

        Args:
            session_id: The id within the gateway.
            owner: Identifies the owner, always in the same order.
        """
        return session_id + b"." + self._signature(session_id, owner)

    def verify(self, signed: bytes, owner: Sequence[bytes]) -> bytes | None:
        """Return the session id in a signed one, None where it was not signed for this owner."""
        session_id, _, signature = signed.rpartition(b".")
        return session_id if hmac.compare_digest(signature, self._signature(session_id, owner)) else None

    def _signature(self, session_id: bytes, owner: Sequence[bytes]) -> bytes:
        # With their lengths, so that no part can end as the next one begins.
        parts = b"".join(b"%d:%b" % (len(part), part) for part in (session_id, *owner))
        digest = hmac.digest(self._secret, parts, hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=")
