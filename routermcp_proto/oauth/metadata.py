"""The metadata of a protected resource and of its authorization server, as they publish them.

Sources: RFC 9728 (protected resource), RFC 8414 and OpenID Connect Discovery 1.0 (authorization
server).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ..exceptions import OAuthError
from .steps import words
from .urls import checked, covers, host_of, is_plain, origin_of, same_issuer

#: Entries of a list that are read; the longest lists of scopes have a few hundred.
MAX_METADATA_ENTRIES = 1_000


@dataclass(frozen=True, slots=True)
class ResourceMetadata:
    """The metadata of a protected server."""

    resource: str
    """Its identifier, to be repeated letter by letter (RFC 8707)."""

    authorization_servers: tuple[str, ...]
    """Their issuers."""

    scopes_supported: tuple[str, ...] | None
    dpop_required: bool
    dpop_algorithms: tuple[str, ...]
    """Those of the proofs that it takes; none where it takes plain tokens only, as far as it says."""


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """The metadata of an authorization server."""

    issuer: str
    """As the metadata write it; compared with the answers to browsers letter by letter."""

    token_endpoint: str
    authorization_endpoint: str | None = None
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    jwks_uri: str | None = None
    """Where its keys are, as the metadata write it: no client needs them, so the URL was not checked."""
    scopes_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods: tuple[str, ...] | None = None
    code_challenge_methods: tuple[str, ...] | None = None
    takes_metadata_documents: bool = False
    """Whether a client id may be the URL of a document."""

    sends_issuer: bool = False
    """Whether answers to the user's browser name the issuer (RFC 9207)."""

    dpop_algorithms: tuple[str, ...] = ()
    concessions: tuple[str, ...] = ()
    """The concessions of the application that were made use of, as they are told."""

    guessed: str = ""
    """Why its endpoints are guessed, as MCP 2025-03-26 says; empty where they are published."""

    left_aside: Mapping[str, str] = field(default_factory=dict[str, str])
    """Members that are of no use, by name, and why: they are missed only where they are needed."""

    @property
    def knows_pkce(self) -> bool:
        """Whether it says that it takes PKCE with S256, without which MCP forbids to go on."""
        return "S256" in (self.code_challenge_methods or ())


#: The members of :class:`AuthorizationServer` that are concessions.
CONCESSIONS = ("metadata_issuer", "unadvertised_pkce", "plain_http", "private_address")


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """What an application knows of its authorization server, beside what that publishes.

    The last four are concessions: less than MCP demands, off unless they are asked for, made to this
    server alone, and told in the log when they are made use of.

    Args:
        issuer: Its issuer. Users sign in here only: where the MCP server names others, not this one,
            signing in fails and nothing is sent there.
        metadata_url: Where its metadata are, if they are not where the issuer says.
        authorization_endpoint: The page where users sign in, in place of that of the metadata.
        token_endpoint: Where tokens are given. With it no metadata are asked for, for servers that
            publish none (Slack); that it takes PKCE is the application's word then.
        device_authorization_endpoint: Where codes are given that users enter on another device.
        registration_endpoint: Where applications register themselves.
        revocation_endpoint: Where tokens are revoked.
        metadata_issuer: The issuer that its metadata may name in place of ``issuer``, letter by letter,
            for servers that answer in the name of another tenant (Atlassian).
        unadvertised_pkce: Sign in although the metadata do not say that it takes PKCE, which is used all
            the same (Amazon Cognito, Microsoft Entra).
        plain_http: Speak http, without TLS, to the hosts of the URLs above. For development only: who
            listens has the tokens.
        private_address: Connect to the hosts of the URLs above where their addresses are those of a
            private network, although the MCP server is a public one (split DNS).
    """

    issuer: str
    metadata_url: str | None = field(default=None, kw_only=True)
    authorization_endpoint: str | None = field(default=None, kw_only=True)
    token_endpoint: str | None = field(default=None, kw_only=True)
    device_authorization_endpoint: str | None = field(default=None, kw_only=True)
    registration_endpoint: str | None = field(default=None, kw_only=True)
    revocation_endpoint: str | None = field(default=None, kw_only=True)
    metadata_issuer: str | None = field(default=None, kw_only=True)
    unadvertised_pkce: bool = field(default=False, kw_only=True)
    plain_http: bool = field(default=False, kw_only=True)
    private_address: bool = field(default=False, kw_only=True)

    @property
    def endpoints(self) -> dict[str, str]:
        """The endpoints that are given, by their names in metadata."""
        given = {
            "authorization_endpoint": self.authorization_endpoint,
            "token_endpoint": self.token_endpoint,
            "device_authorization_endpoint": self.device_authorization_endpoint,
            "registration_endpoint": self.registration_endpoint,
            "revocation_endpoint": self.revocation_endpoint,
        }
        return {name: url for name, url in given.items() if url is not None}

    @property
    def plain_hosts(self) -> frozenset[str]:
        """The hosts to which plain http may be spoken."""
        return self._hosts() if self.plain_http else frozenset()

    @property
    def private_hosts(self) -> frozenset[str]:
        """The hosts that may have addresses of a private network."""
        return self._hosts() if self.private_address else frozenset()

    def _hosts(self) -> frozenset[str]:
        urls = [self.issuer, *self.endpoints.values()]
        if self.metadata_url is not None:
            urls.append(self.metadata_url)
        return frozenset(host_of(url) for url in urls)

    def is_named(self, issuer: str) -> bool:
        """Return whether metadata in the name of an issuer are those of this server."""
        return same_issuer(issuer, self.issuer) or issuer == self.metadata_issuer

    def check(self) -> None:
        """Check that its URLs are ones that secrets may be sent to.

        Raises:
            OAuthError: One of them is not.
        """
        given = {"issuer": self.issuer, "metadata_url": self.metadata_url, **self.endpoints}
        for name, url in given.items():
            if url is not None:
                checked(url, name, self.plain_hosts)


@dataclass(frozen=True, slots=True)
class AuthorizationTarget:
    """The authorization server and the resource of an endpoint."""

    server: ServerMetadata
    resource: str | None
    """The resource identifier for token requests; None for servers of MCP 2025-03-26, which have none."""

    scopes_supported: tuple[str, ...] | None = None
    dpop_required: bool = False
    dpop_algorithms: tuple[str, ...] = ()
    """Those of the proofs that the protected server takes."""

    metadata_url: str | None = None
    """Where the server itself says that it describes itself."""


def resource_metadata(document: Mapping[str, Any], endpoint: str) -> ResourceMetadata:
    """Read the metadata of a protected server.

    Raises:
        OAuthError: They are those of another server.
    """
    resource = document["resource"]
    # Without a fragment, as it goes into requests (RFC 8707, section 2).
    if not isinstance(resource, str) or "#" in resource or not covers(resource, endpoint):
        raise OAuthError(f"the metadata found for {origin_of(endpoint)} are those of another server")
    return ResourceMetadata(
        resource=resource,
        authorization_servers=_metadata_strings(document, "authorization_servers") or (),
        scopes_supported=_metadata_strings(document, "scopes_supported"),
        dpop_required=document.get("dpop_bound_access_tokens_required") is True,
        dpop_algorithms=_metadata_strings(document, "dpop_signing_alg_values_supported") or (),
    )


def server_metadata(
    document: Mapping[str, Any], issuer: str, known: AuthorizationServer | None = None
) -> ServerMetadata:
    """Read the metadata of an authorization server.

    Args:
        document: The metadata.
        issuer: Its issuer.
        known: What the application knows of it, None for nothing.

    Raises:
        OAuthError: They are those of another issuer, or lead where no secret may go.
    """
    known = known or AuthorizationServer(issuer)
    said = document.get("issuer")
    if not isinstance(said, str) or not known.is_named(said):
        raise another_issuer(issuer, said)
    concessions: list[str] = []
    if not same_issuer(said, issuer):
        concessions.append(f"metadata_issuer: the metadata of {issuer} name {said}")
    methods = _metadata_strings(document, "code_challenge_methods_supported")
    if methods is None and known.unadvertised_pkce:
        methods = ("S256",)
        concessions.append(f"unadvertised_pkce: {issuer} does not say that it takes PKCE; it is used")
    left_aside: dict[str, str] = {}

    def optional_endpoint(name: str) -> str | None:
        try:
            return endpoint(name)
        except OAuthError as error:
            left_aside[name] = str(error)
            return None

    def endpoint(name: str) -> str | None:
        given = document.get(name)
        return checked(given, name, known.plain_hosts) if given is not None else None

    keys = document.get("jwks_uri")
    server = ServerMetadata(
        issuer=said,
        token_endpoint=checked(document.get("token_endpoint"), "token_endpoint", known.plain_hosts),
        authorization_endpoint=endpoint("authorization_endpoint"),
        registration_endpoint=optional_endpoint("registration_endpoint"),
        revocation_endpoint=optional_endpoint("revocation_endpoint"),
        device_authorization_endpoint=optional_endpoint("device_authorization_endpoint"),
        jwks_uri=keys if isinstance(keys, str) else None,
        scopes_supported=_metadata_strings(document, "scopes_supported"),
        token_endpoint_auth_methods=_metadata_strings(document, "token_endpoint_auth_methods_supported"),
        code_challenge_methods=methods,
        takes_metadata_documents=document.get("client_id_metadata_document_supported") is True,
        sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        dpop_algorithms=_metadata_strings(document, "dpop_signing_alg_values_supported") or (),
        left_aside=left_aside,
    )
    if is_plain(server.token_endpoint) or is_plain(server.authorization_endpoint):
        concessions.append(f"plain_http: requests to {issuer} are not encrypted")
    return replace(server, concessions=tuple(concessions))


def another_issuer(issuer: str, said: object) -> OAuthError:
    """Return the error for metadata that are in the name of another issuer."""
    other = words(said)
    meant = (
        f"; if that is the same server, OAuthConfig(issuer=AuthorizationServer({issuer!r}, "
        f"metadata_issuer={other!r})) says so"
    )
    return OAuthError(
        f"the metadata found for {issuer} name another issuer ({other or 'none'}); nothing there is used"
        f"{meant if other else ''}"
    )


def _metadata_strings(document: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    values = document.get(name)
    if not isinstance(values, list):
        return None
    return tuple(
        value for value in cast("list[Any]", values)[:MAX_METADATA_ENTRIES] if isinstance(value, str)
    )
