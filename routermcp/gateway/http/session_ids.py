"""Session ids that are of use only to who was given them.

A session id goes out with a code behind it, made of the id, of who opened the session and
of a secret. What comes back is checked against who sends it, so nothing has to be kept, and
several processes that share sessions only have to share the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from routermcp_proto.exceptions import ConfigError

#: Bytes of a secret: the length of the digest, as RFC 2104, section 3, asks for.
SECRET_BYTES = 32


class SessionIdSigner:
    """Seals session ids.

    Args:
        secret: At least 32 random bytes, the same wherever a session may come back to; None
            for some of its own.

    Raises:
        ConfigError: The secret is too short.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        if secret is not None and len(secret) < SECRET_BYTES:
            raise ConfigError(f"the secret that seals sessions has at least {SECRET_BYTES} bytes")
        self._secret = secret if secret is not None else secrets.token_bytes(SECRET_BYTES)

    def __repr__(self) -> str:
        return "<SessionSeal>"

    def close(self, session_id: bytes, owner: Sequence[bytes]) -> bytes:
        """Return a session id as its owner is to send it.

        Args:
            session_id: As the application knows it.
            owner: What the owner is known by, always in the same order.
        """
        return session_id + b"." + self._code(session_id, owner)

    def open(self, sealed: bytes, owner: Sequence[bytes]) -> bytes | None:
        """Return the session id in what somebody sent, None where it was not given to them."""
        session_id, _, code = sealed.rpartition(b".")
        return session_id if hmac.compare_digest(code, self._code(session_id, owner)) else None

    def _code(self, session_id: bytes, owner: Sequence[bytes]) -> bytes:
        # With their lengths, so that no part can end as the next one begins.
        parts = b"".join(b"%d:%b" % (len(part), part) for part in (session_id, *owner))
        code = hmac.digest(self._secret, parts, hashlib.sha256)
        return base64.urlsafe_b64encode(code).rstrip(b"=")
