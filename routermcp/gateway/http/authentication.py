"""Authentication of a request: its API key or access token, and the user that it is for."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from routermcp_proto.error_codes import INVALID_REQUEST, UNAUTHORIZED
from routermcp_proto.exceptions import ConfigError
from routermcp_proto.http.header_values import is_visible
from routermcp_proto.jsonrpc import ErrorObject

from ..backend import View
from ..errors import Rejected
from .asgi import RequestHead, Scope

#: The header of the API key of clients that cannot set ``Authorization``, which goes before it.
KEY_HEADER = "x-api-key"

USER_HEADER = "x-routermcp-user-id"

#: Characters of the longest user id: an e-mail address has at most 254.
MAX_USER_ID = 256

#: Headers by which a proxy says that it forwards a request. A request with one of them comes
#: from another machine, although the proxy itself is on this one.
_FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


@dataclass(frozen=True, slots=True)
class Identity:
    """The credential of a request, None where none is asked for, and its user, None for no user."""

    credential: Credential | None
    user_id: str | None


_NOBODY = Identity(None, None)


class TokenIdentifier(Protocol):
    """Identifies requests by access tokens."""

    async def identify(self, head: RequestHead, scope: Scope, token: str) -> Identity:
        """Return the identity of a request with a token.

        Raises:
            Rejected: The token is not accepted.
        """
        ...

    def unauthenticated(self, head: RequestHead, scope: Scope) -> Rejected:
        """Return the refusal of a request that has no credential: it says where tokens are given."""
        ...


class Authentication:
    """Identifies the requests to a gateway.

    Args:
        keys: Its API keys, None where no key opens it.
        tokens: Identifies requests with access tokens, None where no token opens it.
    """

    def __init__(self, keys: KeyRing | None, tokens: TokenIdentifier | None = None) -> None:
        self._keys = keys
        self._tokens = tokens

    async def identify(self, head: RequestHead, scope: Scope) -> Identity:
        """Return the identity of a request.

        Raises:
            Rejected: It has no credential that opens the gateway (401), or may not do what it asks for.
        """
        keys, tokens = self._keys, self._tokens
        if tokens is None:
            return identify(head, scope, keys)
        shown = _bearer_in(head)
        if shown is not None and (keys is None or keys.find(shown) is None):
            return await tokens.identify(head, scope, shown)
        if keys is None or (shown is None and head.get(KEY_HEADER) is None):
            raise tokens.unauthenticated(head, scope)
        return identify(head, scope, keys)


def identify(head: RequestHead, scope: Scope, keys: KeyRing | None) -> Identity:
    """Return the identity of a request.

    A request may name a user with a key that acts for users and, where no keys are asked for,
    over loopback. Any other request that names a user is refused: without the name it would run
    as another user.

    Raises:
        Rejected: The key is missing or unknown (401), may not act for users (403), or the user
            id is invalid (400).
    """
    key = _key_of(head, keys) if keys is not None else None
    user_id = head.get(USER_HEADER)
    if user_id is None:
        return Identity(key, None) if key is not None else _NOBODY
    if not is_visible(user_id) or len(user_id) > MAX_USER_ID:
        problem = f"{USER_HEADER} has 1 to {MAX_USER_ID} visible ASCII characters"
        raise Rejected(400, ErrorObject(INVALID_REQUEST, problem))
    identity = Identity(key, user_id)
    check_acts_for_users(identity, head, scope)
    return identity


def check_acts_for_users(identity: Identity, head: RequestHead, scope: Scope) -> None:
    """Check that the sender of a request may act for users.

    Raises:
        Rejected: Its credential may not, or it has none and comes from another machine (403).
    """
    credential = identity.credential
    if credential is not None and not credential.acts_for_users:
        raise not_for_users(f"this {credential.kind} may not act for users")
    if credential is None and not _is_local(head, scope):
        raise not_for_users("without an API key, only requests from this machine may act for users")


def _key_of(head: RequestHead, keys: KeyRing) -> APIKey:
    authorization = head.get("authorization")
    if authorization is None:
        scheme, secret = "bearer", head.get(KEY_HEADER)
    else:
        scheme, _, credentials = authorization.partition(" ")
        secret = credentials.strip(" ")
    if secret is None:
        raise _unauthorized_key("missing", "give the API key as Authorization: Bearer ...")
    if scheme.lower() != "bearer" or not is_visible(secret):
        raise _unauthorized_key("malformed", "the Authorization header is not Bearer and an API key")
    key = keys.find(secret)
    if key is None:
        raise _unauthorized_key("unknown", "this API key is not known here")
    return key


def _bearer_in(head: RequestHead) -> str | None:
    """Return the credentials in ``Authorization: Bearer``, None without them."""
    scheme, _, credentials = (head.get("authorization") or "").partition(" ")
    return credentials.strip(" ") or None if scheme.lower() == "bearer" else None


def _is_local(head: RequestHead, scope: Scope) -> bool:
    client = scope.get("client")
    local = client is not None and is_loopback(client[0])
    return local and all(head.joined(name) is None for name in _FORWARDING)


def _unauthorized_key(reason: str, problem: str) -> Rejected:
    error = ErrorObject(UNAUTHORIZED, problem, {"reason": reason})
    return Rejected(401, error, headers=[(b"www-authenticate", b"Bearer")])


def not_for_users(problem: str) -> Rejected:
    """Return the refusal of a request that names a user."""
    return Rejected(403, ErrorObject(UNAUTHORIZED, problem, {"reason": "user_not_allowed"}))


class Credential:
    """What opens the gateway, and what is opened.

    Attributes:
        kind: Its name for people.
        fingerprint: Identifies it without revealing it.
        acts_for_users: Whether a request with it may name its user.
        projects: The projects that it opens, None for all of them.
        view: What is seen with it, None for everything.
    """

    __slots__ = ("acts_for_users", "fingerprint", "kind", "projects", "view")

    def __init__(
        self,
        kind: str,
        fingerprint: bytes,
        *,
        acts_for_users: bool = False,
        projects: Collection[str] | None = None,
        view: View | None = None,
    ) -> None:
        self.kind = kind
        self.fingerprint = fingerprint
        self.acts_for_users = acts_for_users
        self.projects = projects
        self.view = view

    def check_opens_all(self, what: str) -> None:
        """Check that nothing of the gateway is kept from it.

        Args:
            what: What holds something of all servers and users.

        Raises:
            Rejected: It opens some projects only, or some of the servers (403).
        """
        if self.projects is not None or self.view is not None:
            problem = f"this {self.kind} opens a part of the gateway, and {what} is of all of it"
            raise Rejected(403, ErrorObject(UNAUTHORIZED, problem, {"reason": "part_of_gateway"}))

    def shows_server(self, alias: str, views: Mapping[str, View]) -> bool:
        """Return whether a server is seen with it in any project, by the views of those that have one."""
        if self.view is not None and not self.view.shows_server(alias):
            return False
        if self.projects is None:
            return True
        return any(name not in views or views[name].shows_server(alias) for name in self.projects)


class APIKey(Credential):
    """An API key, kept as its digest only.

    Args:
        secret: The key itself, ``rmc_...`` at RouterMCP: visible ASCII characters.
        acts_for_users: Whether a request with this key may name its user.
        projects: The projects that it opens, None for all of them.
        view: What is seen with it, None for everything.

    Raises:
        ConfigError: The key is empty or cannot travel in a header.
    """

    __slots__ = ()

    def __init__(
        self,
        secret: str,
        *,
        acts_for_users: bool = False,
        projects: Collection[str] | None = None,
        view: View | None = None,
    ) -> None:
        if not is_visible(secret):
            raise ConfigError("an API key has visible ASCII characters only, and at least one")
        super().__init__(
            "API key", _key_digest(secret), acts_for_users=acts_for_users, projects=projects, view=view
        )

    def __repr__(self) -> str:
        return f"APIKey(<hidden>, acts_for_users={self.acts_for_users})"


class KeyRing:
    """The API keys of a gateway.

    Raises:
        ConfigError: There is no key, which would refuse every request.
    """

    def __init__(self, keys: Sequence[APIKey]) -> None:
        if not keys:
            raise ConfigError("no API key is given; pass keys=None to serve without keys")
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"<KeyRing of {len(self._keys)}>"

    def find(self, secret: str) -> APIKey | None:
        """Return the key with a secret, None where it is unknown.

        The time that it takes reveals nothing of the keys: all are compared, by their digests,
        which have one length.
        """
        shown = _key_digest(secret)
        found: APIKey | None = None
        for key in self._keys:
            if hmac.compare_digest(key.fingerprint, shown):
                found = key
        return found


def check_binding(host: str, credentials: Sequence[Credential] | None) -> None:
    """Check that a gateway which other machines can reach asks for a credential.

    Args:
        host: The address or name to listen on.
        credentials: What opens it, None for free access.

    Raises:
        ConfigError: It would serve every client that reaches this machine.
    """
    if not credentials and host != "localhost" and not is_loopback(host):
        raise ConfigError(
            f"on {host or 'all addresses'!r} every client that reaches this machine could use the gateway "
            "and the servers behind it: set an API key, or listen on 127.0.0.1"
        )


def is_loopback(address: str) -> bool:
    """Say whether an IP address is a loopback address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def _key_digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("latin-1", "replace")).digest()
