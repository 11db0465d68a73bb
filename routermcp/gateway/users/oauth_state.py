"""Whose sign-in a browser comes back from: that is in the state which it brings, for us alone to read.

The state ends with the user and the server, encrypted, so that nothing has to be kept of it and
the authorization server learns nothing. What belongs to the sign-in itself is in the user's record,
where the whole state is looked up.
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

#: Between the random part of a state and ours; neither has one.
MARK = "."


class StateEncryptor:
    """Writes the user and the server into states, and reads them there.

    Args:
        secret: The same wherever a browser may come back to; None for one of its own.

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
        return "<StateSeal>"

    def tag(self, user_id: str, alias: str) -> str:
        """Return what the states of a user's sign-ins at a server end with."""
        return MARK + self._fernet.encrypt(json.dumps([user_id, alias]).encode()).decode("ascii")

    def whose(self, callback_url: str) -> tuple[str, str]:
        """Return the user and the server of the sign-in that a browser came back from.

        Raises:
            OAuthError: It is none of ours, or too old.
        """
        _, _, tag = (state_of(callback_url) or "").partition(MARK)
        try:
            # A tag is made once for a user, and may be used until that user is forgotten here.
            read = cast("list[Any]", json.loads(self._fernet.decrypt(tag.encode())))
        except self._invalid as error:
            raise OAuthError("no sign-in waits for that answer: it came too late, or twice") from error
        return str(read[0]), str(read[1])
