"""The metadata of a protected resource and of its authorization server, as they publish them.

Sources: RFC 9728 (protected resource), RFC 8414 and OpenID Connect Discovery 1.0 (authorization
server).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ..exceptions import OAuthError
from .steps import words
from .urls import checked, covers, origin_of, same_issuer

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
    scopes_supported: tuple[str, ...] | None = None
    token_endpoint_auth_methods: tuple[str, ...] | None = None
    code_challenge_methods: tuple[str, ...] | None = None
    takes_metadata_documents: bool = False
    """Whether a client id may be the URL of a document."""

    sends_issuer: bool = False
    """Whether answers to the user's browser name the issuer (RFC 9207)."""

    dpop_algorithms: tuple[str, ...] = ()
    left_aside: Mapping[str, str] = field(default_factory=dict[str, str])
    """Members that are of no use, by name, and why: they are missed only where they are needed."""

    @property
    def knows_pkce(self) -> bool:
        """Whether it says that it takes PKCE with S256, without which MCP forbids to go on."""
        return "S256" in (self.code_challenge_methods or ())


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
        authorization_servers=_strings(document, "authorization_servers") or (),
        scopes_supported=_strings(document, "scopes_supported"),
        dpop_required=document.get("dpop_bound_access_tokens_required") is True,
        dpop_algorithms=_strings(document, "dpop_signing_alg_values_supported") or (),
    )


def server_metadata(document: Mapping[str, Any], issuer: str) -> ServerMetadata:
    """Read the metadata of an authorization server.

    Raises:
        OAuthError: They are those of another issuer, or lead where no secret may go.
    """
    said = document.get("issuer")
    if not isinstance(said, str) or not same_issuer(said, issuer):
        raise OAuthError(
            f"the metadata found for {issuer} name another issuer ({words(said) or 'none'}); nothing there "
            "is used"
        )
    left_aside: dict[str, str] = {}

    def optional_endpoint(name: str) -> str | None:
        try:
            return endpoint(name)
        except OAuthError as error:
            left_aside[name] = str(error)
            return None

    def endpoint(name: str) -> str | None:
        return checked(document[name], name) if document.get(name) is not None else None

    return ServerMetadata(
        issuer=said,
        token_endpoint=checked(document.get("token_endpoint"), "token_endpoint"),
        authorization_endpoint=endpoint("authorization_endpoint"),
        registration_endpoint=optional_endpoint("registration_endpoint"),
        revocation_endpoint=optional_endpoint("revocation_endpoint"),
        device_authorization_endpoint=optional_endpoint("device_authorization_endpoint"),
        scopes_supported=_strings(document, "scopes_supported"),
        token_endpoint_auth_methods=_strings(document, "token_endpoint_auth_methods_supported"),
        code_challenge_methods=_strings(document, "code_challenge_methods_supported"),
        takes_metadata_documents=document.get("client_id_metadata_document_supported") is True,
        sends_issuer=document.get("authorization_response_iss_parameter_supported") is True,
        dpop_algorithms=_strings(document, "dpop_signing_alg_values_supported") or (),
        left_aside=left_aside,
    )


def _strings(document: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    values = document.get(name)
    if not isinstance(values, list):
        return None
    return tuple(
        value for value in cast("list[Any]", values)[:MAX_METADATA_ENTRIES] if isinstance(value, str)
    )
