"""How a client signs its users in, and keeps their tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from routermcp_proto.exceptions import ConfigError, LocalProtocolError
from routermcp_proto.http.headers import HeaderBlock
from routermcp_proto.oauth.client_grants import ClientGrant
from routermcp_proto.oauth.metadata import AuthorizationServer
from routermcp_proto.oauth.steps import HTTPStep
from routermcp_proto.oauth.urls import host_of

from .._version import USER_AGENT
from ._times import FlowTimes
from .audit import OnAudit
from .device import DeviceCode
from .stores.base import AnyAdapter

Authorize = Callable[[str], "str | Awaitable[str]"]
"""Is given the URL where a user signs in; returns the URL that the user's browser came back to.

A plain function is called in a thread, so that it may wait for the user.
"""

#: The port that users come back to unless another is given: below those that systems give to
#: connections (from 32768 on Linux, from 49152 elsewhere), so that none of them has taken it.
CALLBACK_PORT = 28418

#: The page there.
CALLBACK_PATH = "/callback"

#: Where users come back to unless ``authorize`` or ``redirect_uri`` says otherwise: an address of
#: this machine, of which authorization servers take any port (RFC 8252, section 7.3).
DEFAULT_REDIRECT_URI = f"http://127.0.0.1:{CALLBACK_PORT}{CALLBACK_PATH}"


#: Parameters that flows set themselves, and the setting of :class:`OAuthConfig` that says what to.
FLOW_PARAMETERS = {
    "assertion": None,
    "client_assertion": None,
    "client_assertion_type": None,
    "client_id": "client_id",
    "client_secret": "client_secret",
    "code": None,
    "code_challenge": None,
    "code_challenge_method": None,
    "code_verifier": None,
    "device_code": None,
    "grant_type": None,
    "redirect_uri": "redirect_uri",
    "refresh_token": None,
    "resource": "resource",
    "response_type": None,
    "scope": "scopes",
    "state": None,
}

#: Headers that requests of flows set themselves.
FLOW_HEADERS = frozenset(
    {
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "dpop",
        "host",
        "transfer-encoding",
    }
)


@dataclass(frozen=True, slots=True)
class OAuthConfig:
    """How a client signs its users in, and keeps their tokens.

    With an adapter alone, tokens that are there are used and renewed; a call that needs a user to
    sign in raises :class:`~routermcp.types.AuthorizationRequiredError`.

    Args:
        adapter: Where tokens are kept.
        authorize: Asks a user to sign in while the call waits:
            :func:`~routermcp.oauth.loopback_receiver` where the program runs,
            :func:`~routermcp.oauth.device_code` on any device, or a function of yours.
        grant: How to get tokens without a user, such as
            :func:`~routermcp.oauth.client_credentials`; ``authorize`` is not asked then.
        redirect_uri: Where users come back to; default that of ``authorize``.
        client_id: The id of an application that was registered by hand.
        client_secret: The secret that goes with it.
        issuer: The authorization server: its issuer, or an
            :class:`~routermcp.oauth.AuthorizationServer` with what it does not publish, and with
            concessions to it. Where the MCP server names none, it is this one; where it names others,
            signing in fails and nothing is sent there. Default: the one that the MCP server names;
            ``client_id`` is for the one where it is used first.
        client_metadata_url: URL of the application's client id metadata document.
        client_name: The name of the application that users see.
        scopes: The scopes to ask for, exactly these, whatever the server lists or demands later, as
            GitHub's lists more than most users want to give. ``offline_access`` is left out unless it
            is among them. Default: those that the server asks for.
        extra_scopes: Scopes to ask for beside those that the server asks for.
        offline_access: Whether to ask for ``offline_access`` where the authorization server has it.
            ``False`` for servers that give refresh tokens without it, as Keycloak does, which makes an
            offline session of it that many realms do not allow.
        authorize_params: Further parameters of the page where users sign in, or of the request for the
            code that they enter there, such as ``access_type`` and ``prompt`` (Google), ``audience``
            (Auth0) or ``login_hint``.
        token_params: Further parameters of each request for tokens, such as ``audience`` (Auth0,
            for ``grant=client_credentials(...)``).
        resource: The ``resource`` of requests to the authorization server (RFC 8707). ``False`` leaves
            it out, as Microsoft Entra wants it (AADSTS901002, AADSTS9010010). Default: the one that
            the MCP server's metadata name.
        headers: Headers of requests to the authorization server, such as those that a firewall in
            front of it wants, or another ``User-Agent``. They never go to the MCP server, which has the
            ``headers`` of the client. Give ``issuer`` too where they hold a secret: others are not asked.
        server_id: The id of this server in the store; default its host and path.
        single_user: There is one user only, so that the client needs no ``user_id``.
        dpop: Whether tokens are bound to a key of the user (DPoP, RFC 9449); needs
            ``routermcp[oauth]``. ``"auto"``: where the MCP server asks for it. ``True``: wherever the
            authorization server can do it, for MCP servers that take such tokens but do not say so.
            ``False``: never.
        on_audit: Told when a token is obtained, renewed, used or revoked, and whose. What it raises
            is logged: by then it is done.
    """

    adapter: AnyAdapter
    authorize: Authorize | DeviceCode | None = field(default=None, kw_only=True)
    grant: ClientGrant | None = field(default=None, kw_only=True)
    redirect_uri: str | None = field(default=None, kw_only=True)
    client_id: str | None = field(default=None, kw_only=True)
    client_secret: str | None = field(default=None, kw_only=True, repr=False)
    issuer: str | AuthorizationServer | None = field(default=None, kw_only=True)
    client_metadata_url: str | None = field(default=None, kw_only=True)
    client_name: str = field(default="routermcp", kw_only=True)
    scopes: Sequence[str] | None = field(default=None, kw_only=True)
    extra_scopes: Sequence[str] = field(default=(), kw_only=True)
    offline_access: bool = field(default=True, kw_only=True)
    authorize_params: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True, repr=False)
    token_params: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True, repr=False)
    resource: str | Literal[False] | None = field(default=None, kw_only=True)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True, repr=False)
    server_id: str | None = field(default=None, kw_only=True)
    single_user: bool = field(default=False, kw_only=True)
    dpop: bool | Literal["auto"] = field(default="auto", kw_only=True)
    on_audit: OnAudit | None = field(default=None, kw_only=True)
    times: FlowTimes = field(init=False, repr=False, compare=False, default_factory=FlowTimes)

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ConfigError: One of them cannot be used.
        """
        for setting, params in (
            ("authorize_params", self.authorize_params),
            ("token_params", self.token_params),
        ):
            for name in params:
                if name in FLOW_PARAMETERS:
                    other = FLOW_PARAMETERS[name]
                    instead = f"give {other}= instead" if other else "signing in does"
                    raise ConfigError(f"OAuthConfig({setting}=...) cannot set {name}: {instead}")
        own = sorted(name for name in self.headers if name.lower() in FLOW_HEADERS)
        if own:
            raise ConfigError(f"OAuthConfig(headers=...) cannot set {', '.join(own)}: signing in does")
        try:
            HeaderBlock(self.headers.items())
        except LocalProtocolError as error:
            raise ConfigError(f"OAuthConfig(headers=...): {error}") from error

    @property
    def authorization_server(self) -> AuthorizationServer | None:
        """The authorization server that the application has named, None for none."""
        return AuthorizationServer(self.issuer) if isinstance(self.issuer, str) else self.issuer

    def may_be_private(self, step: HTTPStep) -> bool:
        """Return whether a request may lead into a private network, as the application says.

        The metadata of the MCP server never may, as it is that server which says where they are.
        """
        server = self.authorization_server
        return step.to_server and server is not None and host_of(step.url) in server.private_hosts

    def headers_for(self, step: HTTPStep) -> dict[str, str]:
        """Return the headers of a request of a flow."""
        given: Mapping[str, str] = self.headers if step.to_server else {}
        named = any(name.lower() == "user-agent" for name in given)
        return {**({} if named else {"User-Agent": USER_AGENT}), **given, **step.headers}

    def redirects_to(self) -> str | None:
        """Return where users come back to, None where none does."""
        if self.redirect_uri is not None:
            return self.redirect_uri
        if isinstance(self.authorize, DeviceCode):
            return None
        own = getattr(self.authorize, "redirect_uri", None)
        if isinstance(own, str):
            return own
        return DEFAULT_REDIRECT_URI if self.authorize is not None else None

    def check_receiver(self) -> None:
        """Check that users can come back from signing in, before anything is asked of a server.

        Raises:
            OAuthError: ``authorize`` cannot listen where they come back to.
        """
        check = getattr(self.authorize, "check_redirect_uri", None)
        if check is not None:
            check(self.redirects_to())
