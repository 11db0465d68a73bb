"""The record of one user at one server: a JSON object whose unknown members are left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..http.numbers import finite_number
from .client_auth import Client
from .steps import sendable
from .tokens import Tokens

VERSION = 1

#: Sign-ins of one user at one server that wait at once; a browser has a few open tabs.
MAX_PENDING_SIGN_INS = 8


class GrantRecord:
    """A record, read and written by names.

    Args:
        members: The JSON object; it is changed in place.
    """

    def __init__(self, members: dict[str, Any] | None = None) -> None:
        self.members: dict[str, Any] = members if members is not None else {}

    def __repr__(self) -> str:
        state = "revoked" if self.revoked else "with tokens" if self.tokens else "without tokens"
        return f"<GrantRecord {state}>"

    @property
    def tokens(self) -> Tokens | None:
        """The tokens in force."""
        return Tokens.from_json(self.members.get("tokens"))

    @property
    def client(self) -> Client | None:
        """The client that the tokens were given to."""
        return Client.from_json(self.members.get("client"))

    @property
    def revoked(self) -> bool:
        """Whether the user has withdrawn the consent."""
        return self.members.get("revoked") is True

    def text(self, name: str) -> str | None:
        """Return a member that is text."""
        return sendable(self.members.get(name))

    def settle(
        self,
        tokens: Tokens,
        *,
        endpoint: str,
        client: Client | None,
        resource: str | None,
        token_endpoint: str,
        revocation_endpoint: str | None,
        requested: tuple[str, ...],
        resource_metadata: str | None,
    ) -> None:
        """Note tokens and all that is needed to renew and to revoke them."""
        self.members.update(
            version=VERSION,
            endpoint=endpoint,
            resource=resource,
            issuer=tokens.issuer,
            token_endpoint=token_endpoint,
            revocation_endpoint=revocation_endpoint,
            tokens=tokens.to_json(),
            requested={tokens.issuer: " ".join(requested)},
            resource_metadata=resource_metadata,
        )
        if client is not None:
            self.members["client"] = client.to_json()
        self.members.pop("revoked", None)

    def renew(self, tokens: Tokens) -> None:
        """Note renewed tokens."""
        self.members["tokens"] = tokens.to_json()

    def forget_tokens(self) -> None:
        """Forget the tokens, which are no longer good."""
        self.members.pop("tokens", None)

    def requested(self, issuer: str) -> tuple[str, ...]:
        """Return the scopes that the user was asked for there so far."""
        kept = self.members.get("requested")
        scopes = cast("dict[str, Any]", kept).get(issuer) if isinstance(kept, dict) else None
        return tuple((sendable(scopes) or "").split())

    # ---- sign-ins that wait --------------------------------------------------------------------

    def _waiting(self) -> dict[str, Any]:
        kept = self.members.get("pending")
        return cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}

    def add_pending(self, state: str, kept: Mapping[str, Any], now: float) -> None:
        """Add a pending sign-in, and drop those that are too old."""
        waiting = {key: value for key, value in self._waiting().items() if _pending_expiry(value) > now}
        while len(waiting) >= MAX_PENDING_SIGN_INS:
            del waiting[min(waiting, key=lambda key: _pending_expiry(waiting[key]))]
        self.members["pending"] = {**waiting, state: dict(kept)}

    def find_pending(self, like: Mapping[str, Any], until: float) -> dict[str, Any] | None:
        """Return a pending sign-in that waits at least so long, None where there is none.

        Args:
            like: Members that it has.
            until: Seconds since 1970.
        """
        for kept in self._waiting().values():
            if _pending_expiry(kept) >= until and all(
                kept.get(name) == value for name, value in like.items()
            ):
                return kept
        return None

    def unanswered(self, client_id: str) -> bool:
        """Return whether a user who was sent to sign in with a client has not come back."""
        pending = [
            cast("dict[str, Any]", kept) for kept in self._waiting().values() if isinstance(kept, dict)
        ]
        clients = [Client.from_json(kept.get("client")) for kept in pending]
        return any(client is not None and client.client_id == client_id for client in clients)

    def pending(self, state: str) -> dict[str, Any]:
        """Return what is kept of a pending sign-in, nothing of an unknown one."""
        kept = self._waiting().get(state)
        return cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}

    def awaits(self, state: str, now: float) -> bool:
        """Return whether a user may still come back from a sign-in."""
        return _pending_expiry(self._waiting().get(state)) > now

    def note_signed_in(self, state: str) -> None:
        """Note which sign-in gave the tokens, for calls that wait for it."""
        self.members["signed_in"] = [*self.sign_ins, state][-MAX_PENDING_SIGN_INS:]

    def signed_in(self, state: str) -> bool:
        """Return whether a sign-in, one of the last few, gave tokens."""
        return state in self.sign_ins

    @property
    def sign_ins(self) -> tuple[Any, ...]:
        """The last few sign-ins that gave tokens; a renewal changes nothing of that."""
        kept = self.members.get("signed_in")
        return tuple(cast("list[Any]", kept)) if isinstance(kept, list) else ()

    def take_pending(self, state: str, now: float) -> dict[str, Any] | None:
        """Remove and return a pending sign-in, None where it is unknown or too old."""
        waiting = dict(self._waiting())
        kept = waiting.pop(state, None)
        self.members["pending"] = waiting
        return kept if isinstance(kept, dict) and _pending_expiry(kept) > now else None  # pyright: ignore[reportUnknownVariableType]


def _pending_expiry(kept: Any) -> float:
    value = cast("dict[str, Any]", kept).get("expires_at") if isinstance(kept, dict) else None
    return finite_number(value) or 0.0
