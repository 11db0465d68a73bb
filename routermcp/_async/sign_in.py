"""A request that the user sign in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from routermcp_adapters.runtimes.auto import running as runtime_here
from routermcp_adapters.runtimes.run_sync import native as run
from routermcp_proto.exceptions import ConfigError

from .._settings import checked_timeout

if TYPE_CHECKING:
    from ..oauth.flows.gateway_connections import Access

OnAuthorization = Callable[["AuthorizationRequest"], Any]
"""Has a user sign in; returns when that is done."""

#: Milliseconds that :meth:`AuthorizationRequest.wait` takes at most unless told otherwise: as
#: long as a sign-in may wait for its user.
SIGN_IN_TIMEOUT_MS = 600_000


class AuthorizationRequest:
    """A user is to sign in; made by ``authorize`` of a client or session, and for ``on_authorization``.

    Attributes:
        url: Where to send the user.
        expires_at: Until when the user has to be back, in seconds since 1970; None where the
            server did not say.
        server_id: The server that wants it, None where it is one that a server behind yours
            wants and keeps to itself.
        user_id: The user who has to.
    """

    def __init__(
        self,
        access: Access | None,
        url: str,
        expires_at: float | None,
        server_id: str | None,
        user_id: str | None,
    ) -> None:
        self._access = access
        self.url = url
        self.expires_at = expires_at
        self.server_id = server_id
        self.user_id = user_id

    def __repr__(self) -> str:
        return f"<AuthorizationRequest of {self.user_id!r} at {self.server_id}>"

    async def complete(self, callback_url: str) -> str | None:
        """Take the URL that the user's browser came back to.

        Args:
            callback_url: The whole URL, with its query.

        Returns:
            The ``next_url`` that was given when the sign-in began.

        Raises:
            OAuthError: It belongs to no sign-in of this user that waits, or says no.
            ConfigError: The server keeps the sign-in to itself.
        """
        return await run(self._known().complete(callback_url))

    async def wait(self, *, timeout: int = SIGN_IN_TIMEOUT_MS) -> None:
        """Wait until the user has signed in, whichever process takes the answer.

        Tokens that were there before do not count, as far as the server lets them be told apart.

        Args:
            timeout: Milliseconds, 0 for no limit.

        Raises:
            OAuthError: The user said no, or the sign-in failed otherwise.
            TransportError: The user has not signed in by then (``timeout``).
            ConfigError: The server keeps the sign-in to itself.
        """
        await run(self._known().within(runtime_here(), checked_timeout(timeout)).settled())

    def _known(self) -> Access:
        if self._access is None:
            raise ConfigError("what becomes of this sign-in is known to the server alone")
        return self._access
