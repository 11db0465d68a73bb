"""Access to the gateway: keys and tokens of clients, and the servers and entries that they open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self, cast, get_args

from pydantic import Field, field_validator, model_validator

from routermcp_proto.exceptions import LocalProtocolError, OAuthError
from routermcp_proto.http.url import EndpointURL
from routermcp_proto.oauth.urls import checked

from .errors import problem
from .filters import Filter
from .types import Alias, ConfigModel, Slug, Texts, Token

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
    "HS256",
    "HS384",
    "HS512",
]

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3

#: Those that sign with a private key, which the gateway does not have.
ASYMMETRIC: tuple[Algorithm, ...] = tuple(each for each in get_args(Algorithm) if not each.startswith("HS"))


class EntrySettings(ConfigModel):
    """Which tools, resources and prompts are let through, by name or URI."""

    allowedTools: Texts = ()
    denyTools: Texts = ()
    allowedToolsGlob: Texts = ()
    denyToolsGlob: Texts = ()
    allowedResources: Texts = ()
    denyResources: Texts = ()
    allowedResourcesGlob: Texts = ()
    denyResourcesGlob: Texts = ()
    allowedPrompts: Texts = ()
    denyPrompts: Texts = ()
    allowedPromptsGlob: Texts = ()
    denyPromptsGlob: Texts = ()

    @cached_property
    def tools(self) -> Filter:
        """Which tools are let through."""
        return Filter(self.allowedTools, self.denyTools, self.allowedToolsGlob, self.denyToolsGlob)

    @cached_property
    def resources(self) -> Filter:
        """Which resources are let through, by URI."""
        return Filter(
            self.allowedResources, self.denyResources, self.allowedResourcesGlob, self.denyResourcesGlob
        )

    @cached_property
    def prompts(self) -> Filter:
        """Which prompts are let through."""
        return Filter(self.allowedPrompts, self.denyPrompts, self.allowedPromptsGlob, self.denyPromptsGlob)


class ViewSettings(EntrySettings):
    """A part of the gateway; tools and prompts are named ``{alias}.{name at the server}`` in it."""

    servers: tuple[Alias, ...] | None = None
    """Aliases of the servers in it, None for all of them."""

    @property
    def limited(self) -> bool:
        """Whether it is less than the whole gateway."""
        return self.servers is not None or any(getattr(self, name) for name in EntrySettings.model_fields)


class ProjectSettings(ViewSettings):
    """A project: what is seen at ``/v1/mcp/{project}``."""


class APIKeySettings(ViewSettings):
    """A key that clients of the gateway show, and what they see with it."""

    key: Token
    """What clients send in ``X-API-Key`` or as ``Authorization: Bearer``."""
    user: bool = False
    """Whether a client with this key may name the user of a request."""
    projects: tuple[Slug, ...] | None = None
    """The projects that it opens, None for all of them."""

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: object) -> object:
        return {"key": value} if isinstance(value, str) else value


class JWTSettings(ViewSettings):
    """Access tokens of an authorization server that open the gateway, and what is seen with them."""

    issuer: str
    """The authorization server, as its tokens and its metadata write it (``iss``)."""
    audience: str | Texts
    """What tokens have to be for (``aud``), or several of which one is enough: the URL of the gateway where
    the authorization server goes by that (RFC 8707), else the name that it has there."""
    jwks: str | dict[str, Any] | None = Field(default=None, repr=False)
    """The keys of the authorization server: the URL of its key set, the path of a file with one, or the set
    itself. None for the URL in the metadata of the issuer."""
    algorithms: tuple[Algorithm, ...] = ASYMMETRIC
    """How tokens may be signed; by default with any of these but ``HS256`` and the like, which need a key
    set with a secret that is not fetched."""
    requiredScopes: Texts = ()
    """Scopes that a token must have, all of them."""
    scopesSupported: Texts | None = None
    """Scopes that clients are told to ask for, where the authorization server knows those of its tokens by
    other names; None for the required ones."""
    userClaim: str = Field(default="sub", min_length=1)
    """The claim that names the user: one that the authorization server gives to no other user, ever."""
    projects: tuple[Slug, ...] | None = None
    """The projects that tokens open, None for all of them."""

    @property
    def audiences(self) -> frozenset[str]:
        """The audiences of which a token has to have one."""
        return frozenset([self.audience] if isinstance(self.audience, str) else self.audience)

    @property
    def asked_scopes(self) -> Texts:
        """The scopes that clients are told to ask for."""
        return self.requiredScopes if self.scopesSupported is None else self.scopesSupported

    @property
    def jwks_url(self) -> str | None:
        """The URL of the key set, None where it is not fetched, or where the issuer says."""
        return self.jwks if isinstance(self.jwks, str) and "://" in self.jwks else None

    @field_validator("audience", mode="before")
    @classmethod
    def _check_audience(cls, audience: object) -> object:
        texts = cast("list[object]", audience) if isinstance(audience, list | tuple) else [audience]
        if not texts or not all(isinstance(each, str) and each for each in texts):
            raise problem("expected a text, or a list of them: the audience of the tokens")
        return cast("object", audience)

    @field_validator("jwks", mode="before")
    @classmethod
    def _check_jwks(cls, jwks: object) -> object:
        if jwks is not None and not isinstance(jwks, str | dict):
            raise problem('expected a URL, the path of a file, or an object with "keys"')
        return cast("object", jwks)

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if not self.algorithms:
            raise problem("expected at least one algorithm", "algorithms")
        for key, scopes in (("requiredScopes", self.requiredScopes), ("scopesSupported", self.asked_scopes)):
            for index, scope in enumerate(scopes):
                if not _SCOPE.fullmatch(scope):
                    raise problem("expected one scope: visible ASCII characters", key, index)
        fetched = self.jwks is None or self.jwks_url is not None
        if fetched and not set(self.algorithms) <= set(ASYMMETRIC):
            problem_text = "HS256 and the like sign with a secret: give jwks as a file or an object"
            raise problem(problem_text, "algorithms")
        _check_issuer(self.issuer)
        if fetched:
            _check_for_keys(
                *(("jwks", self.jwks_url) if self.jwks_url is not None else ("issuer", self.issuer))
            )
        return self


def _check_issuer(issuer: str) -> None:
    """Check that an issuer is one (RFC 8414, section 2): its keys may come without asking it."""
    try:
        EndpointURL.parse(issuer)
    except LocalProtocolError:
        raise problem("expected the URL of an authorization server", "issuer") from None
    if "#" in issuer or "?" in issuer:
        raise problem("an issuer has neither a query nor a fragment", "issuer")


def _check_for_keys(key: str, url: str) -> None:
    """Check that keys may be fetched from a URL: they decide who is let in."""
    try:
        checked(url, key)
    except OAuthError:
        text = (
            "expected an https:// URL, as keys that come over http:// can be exchanged on the way; http:// "
            "is for this machine: else give jwks as a file"
        )
        raise problem(text, key) from None


class AuthSettings(ConfigModel):
    """Access to the gateway: free, with an API key, or with a token of an authorization server."""

    mode: Literal["none", "api_key", "jwt"] = "none"
    """``api_key`` where keys are given and nothing else is said, ``jwt`` where only ``jwt`` is. Where
    both are given, either opens the gateway; ``none`` asks for nothing."""
    apiKeys: tuple[APIKeySettings, ...] = ()
    """Keys, each as a text or as an object with what is seen with it."""
    jwt: JWTSettings | None = None
    """None where no tokens open it."""

    @model_validator(mode="before")
    @classmethod
    def _choose_mode(cls, value: object) -> object:
        if isinstance(value, Mapping) and "mode" not in value:
            for key, mode in (("apiKeys", "api_key"), ("jwt", "jwt")):
                if key in value:
                    return {**cast("Mapping[str, Any]", value), "mode": mode}
        return cast("object", value)

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if self.mode == "api_key" and not self.apiKeys:
            raise problem("expected at least one key, as mode is 'api_key'", "apiKeys")
        if self.mode == "jwt" and self.jwt is None:
            raise problem("is missing, as mode is 'jwt'", "jwt")
        seen: dict[str, int] = {}
        for index, each in enumerate(self.apiKeys):
            first = seen.setdefault(each.key.get_secret_value(), index)
            if first != index:
                raise problem(f"the same key as apiKeys[{first}]: take one away", "apiKeys", index)
        return self
