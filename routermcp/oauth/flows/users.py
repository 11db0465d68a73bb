"""The authorizations of a client's users."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from routermcp_adapters.concurrency import fork
from routermcp_proto.exceptions import ConfigError
from routermcp_proto.http.url import EndpointURL

from ..config import OAuthConfig
from ..stores.base import runtime_of
from .resource import ProtectedResource
from .storage import Store
from .user_authenticator import UserAuthenticator

#: The id of the only user of a client, unless one is given.
ONLY_USER = "default"


def _no_tag(_user_id: str) -> str:
    return ""


class OAuthUsers:
    """Makes one authorization for each user of a client, however many sessions that user has.

    Args:
        endpoint: The MCP server.
        config: How to sign in, and where tokens are kept.
        tag: Returns the suffix of the states of a user's sign-ins.
    """

    def __init__(
        self, endpoint: EndpointURL, config: OAuthConfig, tag: Callable[[str], str] = _no_tag
    ) -> None:
        self._config = config
        self._tag = tag
        self.times = config.times
        self.server_id = config.server_id or _server_id(endpoint)
        self.store = Store(config.adapter)
        self._resource = ProtectedResource(endpoint.url, self.server_id, config, self.store)
        self._users: weakref.WeakValueDictionary[str, UserAuthenticator] = weakref.WeakValueDictionary()
        fork.watch(self)

    def after_fork(self) -> None:
        """Wait for no sign-in or renewal of the parent process."""
        self._resource.after_fork()
        for user in list(self._users.values()):
            user.after_fork()

    @property
    def awaited(self) -> bool:
        """Whether the adapter is one whose methods are awaited."""
        return runtime_of(self._config.adapter) is not None

    def __repr__(self) -> str:
        return f"<OAuthUsers of {self.server_id}>"

    def at(self, endpoint: str, server_id: str, user_id: str) -> UserAuthenticator:
        """Return the authenticator of a user at another server in the same store."""
        return UserAuthenticator(ProtectedResource(endpoint, server_id, self._config, self.store), user_id)

    def of(self, user_id: str | None) -> UserAuthenticator:
        """Return the authenticator of a user's requests."""
        user = user_id if user_id is not None else ONLY_USER
        kept = self._users.get(user)
        if kept is not None:
            return kept
        made = UserAuthenticator(self._resource, user, self._tag(user))
        return self._users.setdefault(user, made)


def users_of(endpoint: EndpointURL | None, config: object, user_id: str | None) -> OAuthUsers | None:
    """Return the users of a client, None for a client without OAuth.

    Raises:
        ConfigError: It cannot be told whose tokens they are, or something is missing.
    """
    if config is None:
        return None
    if not isinstance(config, OAuthConfig):
        raise ConfigError(f"oauth is an OAuthConfig, not {type(config).__name__}")
    if endpoint is None:
        raise ConfigError("give either transport= or oauth=, which is for servers over HTTP")
    _check_adapter(config.adapter)
    if user_id is None and not config.single_user:
        raise ConfigError(
            "oauth= needs to know whose tokens it keeps: give user_id=, or "
            "OAuthConfig(..., single_user=True) where there is only one user"
        )
    return OAuthUsers(endpoint, config)


def _check_adapter(adapter: object) -> None:
    for name in ("get", "set", "delete", "list", "lock"):
        method: Callable[..., object] | None = getattr(adapter, name, None)
        if not callable(method):
            raise ConfigError(
                f"OAuthConfig(adapter=...) has a method {name}(), as memory_adapter() has; "
                f"{type(adapter).__name__} has none"
            )
    if runtime_of(adapter) not in (None, "asyncio", "trio", "any"):
        raise ConfigError("the runtime of an adapter is 'asyncio', 'trio' or 'any'")


def _server_id(endpoint: EndpointURL) -> str:
    path = endpoint.target.partition("?")[0].strip("/")
    return f"{endpoint.authority}/{path}" if path else endpoint.authority
