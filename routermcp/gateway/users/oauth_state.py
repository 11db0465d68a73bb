"""The OAuth ``state`` of sign-ins at servers behind the gateway.

The state ends with the user and the server, encrypted, so that the gateway stores nothing and the
authorization server learns nothing. The sign-in itself is in the user's record, under the whole
state.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any, cast

from routermcp_proto.exceptions import ConfigError, OAuthError
from routermcp_proto.oauth.code_grant import state_of

PATH = "/v1/oauth/callback"

#: Separates the random part of a state from the encrypted part; neither contains it.
SEPARATOR = "."


class StateEncryptor:
    """Encrypts the user and the server of a sign-in into its state, and decrypts them from it.

    Args:
        secret: The same for all processes that a browser may come back to; None for a random secret
            of this process.

    Raises:
        ConfigError: The library for encryption is not installed.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        try:
            from cryptography.fernet import Fernet, InvalidToken  # noqa: PLC0415 - of the extra ``oauth``
        except ImportError as error:
            raise ConfigError(
                "users sign in at servers behind the gateway with pip install 'routermcp[oauth]'"
            ) from error
        key = hashlib.sha256(b"routermcp states" + (secret or secrets.token_bytes(32))).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(key))
        self._invalid = InvalidToken

    def __repr__(self) -> str:
        return "<StateEncryptor>"

    def encrypt(self, user_id: str, alias: str) -> str:
        """Return the end of the states of a user's sign-ins at a server."""
        return SEPARATOR + self._fernet.encrypt(json.dumps([user_id, alias]).encode()).decode("ascii")

    def decrypt(self, callback_url: str) -> tuple[str, str]:
        """Return the user and the server from the state in a callback URL.

        Raises:
            OAuthError: The state is not of this gateway, or too old.
        """
        _, _, encrypted = (state_of(callback_url) or "").partition(SEPARATOR)
        try:
            # It is made once for a user, and is valid until the user is forgotten here.
            read = cast("list[Any]", json.loads(self._fernet.decrypt(encrypted.encode())))
        except self._invalid as error:
            raise OAuthError("no sign-in waits for that answer: it came too late, or twice") from error
        return str(read[0]), str(read[1])
