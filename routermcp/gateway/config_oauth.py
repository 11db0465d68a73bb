"""The parts of a configuration about servers that users sign in at."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.http.url import EndpointURL

from .config_parts import ConfigModel, Texts, Token
from .config_problems import problem

#: What the URL of a store may begin with.
STORES = ("file", "memory", "redis", "rediss", "postgresql", "sqlite", "https", "http")


class OAuthSettings(ConfigModel):
    """Where the tokens of users are kept, and where their browsers come back to."""

    store: SecretStr = SecretStr("file:")
    """``file:`` and a folder (default ``~/.routermcp/mcp-oauth``), ``memory:``, or the URL, which
    may hold a password, of a Redis, of a database or of another gateway that keeps them."""
    apiKey: Token | None = None
    """For a store behind an HTTP API."""
    encryptionKeys: tuple[Token, ...] = ()
    """Keys of Fernet: the first one encrypts what is kept, all of them decrypt."""
    redirectUri: str | None = None
    """Where browsers come back to; None for the gateway's own page."""
    clientName: str = Field(default="RouterMCP gateway", min_length=1)
    """What users are told who asks."""
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
    """What the authorization server of one server knows the gateway as, where that is known."""

    clientId: str | None = Field(default=None, min_length=1)
    clientSecret: Token | None = None
    issuer: str | None = Field(default=None, min_length=1)
    """The authorization server that knows the gateway by that id; None for whichever it is."""
    clientMetadataUrl: str | None = Field(default=None, min_length=1)
    scopes: Texts = ()
    """Scopes to ask for beside those that the server asks for."""
