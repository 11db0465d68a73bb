"""The parts of the configuration about servers that users sign in at.

Attribute names are the file's own, and those of :class:`~routermcp.oauth.OAuthConfig` where it has
the setting too. What may be secret shows in no ``repr`` and no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from routermcp_proto.exceptions import ConfigError, LocalProtocolError, OAuthError
from routermcp_proto.http.binding import user_headers
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.oauth.metadata import CONCESSIONS, AuthorizationServer
from routermcp_proto.oauth.urls import checked, host_of

from ...oauth import presets
from ...oauth.config import FLOW_HEADERS, FLOW_PARAMETERS
from ...oauth.text_settings import concessions_of, settings_of
from .errors import problem
from .types import ConfigModel, Texts, Token

#: Schemes of the URL of a store.
STORES = ("file", "memory", "redis", "rediss", "postgresql", "sqlite", "https", "http")

#: The endpoints of an authorization server that can be given by hand, and their names in the library.
ENDPOINTS = {
    "metadataUrl": "metadata_url",
    "authorizationEndpoint": "authorization_endpoint",
    "tokenEndpoint": "token_endpoint",
    "registrationEndpoint": "registration_endpoint",
    "revocationEndpoint": "revocation_endpoint",
}

#: The keys that say what parameters of a flow are.
_KEYS = {"scopes": "scopes", "client_id": "clientId", "client_secret": "clientSecret", "resource": "resource"}


_NOT_FOR_SECRETS = (
    "expected an https:// URL, without a user name and a fragment; http:// is for this machine, and for "
    "development with the concession plain_http"
)


class OAuthSettings(ConfigModel):
    """Where the tokens of users are kept, and where their browsers come back to."""

    store: SecretStr = SecretStr("file:")
    """``file:`` and a folder (default ``~/.routermcp/mcp-oauth``), ``memory:``, or the URL, which
    may hold a password, of a Redis, of a database or of another gateway that keeps them."""
    apiKey: Token | None = None
    """For a store behind an HTTP API."""
    encryptionKeys: tuple[Token, ...] = ()
    """Keys of Fernet: the first one encrypts the records, all of them decrypt."""
    redirectUri: str | None = None
    """Where browsers come back to; None for the gateway's own page."""
    clientName: str = Field(default="RouterMCP gateway", min_length=1)
    """The name of the gateway on the pages of authorization servers."""
    tokenApi: bool = False
    """Whether applications that act for users may read and write the tokens."""

    @field_validator("store")
    @classmethod
    def _check_store(cls, store: SecretStr) -> SecretStr:
        kind, colon, _ = store.get_secret_value().partition(":")
        if not colon or kind.partition("+")[0] not in STORES:
            raise problem(
                "expected file:..., memory:, redis://..., postgresql://..., sqlite:///... or https://..."
            )
        return store

    @field_validator("redirectUri")
    @classmethod
    def _check_redirect_uri(cls, uri: str | None) -> str | None:
        if uri is None:
            return uri
        try:
            place = EndpointURL.parse(uri)
        except LocalProtocolError:
            raise problem("expected an http:// or https:// URL without a fragment") from None
        if not place.tls and urlsplit(uri).hostname not in ("127.0.0.1", "localhost", "::1"):
            raise problem("expected https://, as codes come back there; http:// is for this machine alone")
        return uri

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.store.get_secret_value().startswith("http") and self.apiKey is None:
            raise problem("is missing, as the store is behind an HTTP API", "apiKey")
        return self


class ServerOAuth(ConfigModel):
    """How users sign in at one server: its authorization server, and what that wants."""

    preset: str | None = Field(default=None, min_length=1)
    """Settings for a vendor, such as ``google`` or ``entra=TENANT``; the other keys go before it."""
    clientId: str | None = Field(default=None, min_length=1)
    """The id of an application that was registered by hand."""
    clientSecret: Token | None = None
    """The secret that goes with it."""
    clientMetadataUrl: str | None = Field(default=None, min_length=1)
    """URL of the application's client id metadata document."""
    issuer: str | None = Field(default=None, min_length=1)
    """The authorization server: no other is asked. None for the one that the server names."""
    metadataUrl: str | None = None
    """Where its metadata are, if they are not where the issuer says."""
    authorizationEndpoint: str | None = None
    """The page where users sign in, in place of that of the metadata."""
    tokenEndpoint: str | None = None
    """Where tokens are given. With it no metadata are asked for."""
    registrationEndpoint: str | None = None
    """Where applications register themselves."""
    revocationEndpoint: str | None = None
    """Where tokens are revoked."""
    concessions: Texts = ()
    """In what to be less strict with that server: ``unadvertised_pkce``, ``plain_http``,
    ``private_address``, ``metadata_issuer=URL``."""
    scopes: Texts | None = None
    """Exactly the scopes to ask for; None for those that the server asks for."""
    extraScopes: Texts = ()
    """Scopes to ask for beside those that the server asks for."""
    offlineAccess: bool | None = None
    """Whether to ask for ``offline_access`` where the authorization server has it; None for what the
    preset says, which is yes where it says nothing."""
    resource: str | Literal[False] | None = None
    """The ``resource`` of requests to the authorization server; False leaves it out."""
    authorizeParams: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Further parameters of the page where users sign in."""
    tokenParams: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Further parameters of each request for tokens."""
    headers: dict[str, SecretStr] = Field(default_factory=dict[str, SecretStr])
    """Headers of requests to the authorization server; they never go to the MCP server."""
    dpop: bool | Literal["auto"] = "auto"
    """Whether tokens are bound to a key of the user."""

    @field_validator("preset")
    @classmethod
    def _check_preset(cls, preset: str | None) -> str | None:
        if preset is None:
            return None
        if preset.partition("=")[0] not in presets.PRESETS:
            raise problem(f"expected one of {', '.join(presets.PRESETS)}")
        try:
            presets.named(preset)
        except ConfigError as error:
            raise problem(str(error)) from None
        return preset

    @field_validator("concessions")
    @classmethod
    def _check_concessions(cls, texts: Texts) -> Texts:
        for index, text in enumerate(texts):
            if text.partition("=")[0] not in CONCESSIONS:
                raise problem(f"expected one of {', '.join(CONCESSIONS)}", index)
            try:
                concessions_of([text])
            except ConfigError as error:
                raise problem(str(error), index) from None
        return texts

    @field_validator("authorizeParams", "tokenParams")
    @classmethod
    def _check_parameters(cls, parameters: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in parameters:
            if name in FLOW_PARAMETERS:
                key = _KEYS.get(FLOW_PARAMETERS[name] or "")
                raise problem(f"cannot be set: {f'give {key}' if key else 'signing in does'}", name)
        return parameters

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if name.lower() in FLOW_HEADERS:
                raise problem("cannot be set: signing in does", name)
            try:
                user_headers({name: value.get_secret_value()})
            except LocalProtocolError as error:
                raise problem(str(error), name) from None
        return headers

    @field_validator("resource", mode="before")
    @classmethod
    def _check_resource(cls, resource: object) -> object:
        if resource is True or not isinstance(resource, str | bool | None):
            raise problem("expected a URL, or false to leave it out")
        return resource

    @field_validator("dpop", mode="before")
    @classmethod
    def _check_dpop(cls, dpop: object) -> object:
        if not isinstance(dpop, bool) and dpop != "auto":
            raise problem("expected true, false or 'auto'")
        return dpop

    def check_server(self) -> None:
        """Check the authorization server, as far as it is given.

        Raises:
            PydanticCustomError: One of its URLs cannot be used, or there is none that the endpoints
                and concessions are about.
        """
        try:
            issuer = self.settings().get("issuer")
        except ConfigError:
            given = next(key for key in (*ENDPOINTS, "concessions") if getattr(self, key))
            text = f"is missing: {given} is for one authorization server, which this key or preset names"
            raise problem(text, "oauth", "issuer") from None
        plain = any(text.partition("=")[0] == "plain_http" for text in self.concessions)
        for key in ("issuer", *ENDPOINTS):
            url: str | None = getattr(self, key)
            if url is not None and not _is_for_secrets(url, plain=plain):
                raise problem(_NOT_FOR_SECRETS, "oauth", key)
        if isinstance(issuer, str):
            issuer = AuthorizationServer(issuer)
        if issuer is not None:
            try:
                issuer.check()
            except (LocalProtocolError, OAuthError):
                raise problem(_NOT_FOR_SECRETS, "oauth", "preset") from None

    def settings(self) -> dict[str, Any]:
        """Return the settings of :class:`~routermcp.oauth.OAuthConfig`, secrets in plain text.

        Raises:
            ConfigError: There is no authorization server that the endpoints and concessions are about.
        """
        given = {
            "client_id": self.clientId,
            "client_secret": self.clientSecret.get_secret_value() if self.clientSecret is not None else None,
            "client_metadata_url": self.clientMetadataUrl,
            "issuer": self.issuer,
            "scopes": self.scopes,
            "extra_scopes": self.extraScopes,
            "offline_access": self.offlineAccess,
            "resource": self.resource,
            "authorize_params": _plain(self.authorizeParams),
            "token_params": _plain(self.tokenParams),
            "headers": _plain(self.headers),
            "dpop": self.dpop,
        }
        endpoints = {name: getattr(self, key) for key, name in ENDPOINTS.items()}
        return settings_of(self.preset, given, {**endpoints, **concessions_of(self.concessions)})


def _plain(secrets: Mapping[str, SecretStr]) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in secrets.items()}


def _is_for_secrets(url: str, *, plain: bool) -> bool:
    """Return whether secrets may be sent to a URL."""
    try:
        checked(url, "it", [host_of(url)] if plain else ())
    except (LocalProtocolError, OAuthError):
        return False
    return True
