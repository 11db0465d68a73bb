"""Where to sign in: the metadata of the protected resource and of its authorization server.

Sources: RFC 9728 (protected resource), RFC 8414 and OpenID Connect Discovery 1.0 (authorization
server); MCP authorization, sections "Protected Resource Metadata Discovery Requirements" and
"Authorization Server Metadata Discovery"; for servers without the former, MCP 2025-03-26.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urljoin

from ..exceptions import OAuthError
from .challenges import for_tokens, parse_challenges
from .steps import Flow, HTTPAnswer, HTTPStep, fetch, json_object, words
from .urls import checked, covers, origin_of, path_of, same_issuer, same_origin, shown, target_of

_RESOURCE = "/.well-known/oauth-protected-resource"
_SERVER = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"

# Any request would do; one that is let in after all has a short answer.
_PING = b'{"jsonrpc":"2.0","id":0,"method":"ping"}'

#: Entries of a list that are read; the longest lists of scopes have a few hundred.
MAX_METADATA_ENTRIES = 1_000

#: Authorization servers of one MCP server that are asked; most name one, some one for each region.
MAX_AUTHORIZATION_SERVERS = 8

#: Redirects on the way to one document: a slash at the end, and a place of its own.
MAX_METADATA_REDIRECTS = 3


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


def discover_target(
    endpoint: str,
    metadata_url: str | None,
    *,
    issuers: Sequence[str] = (),
    guess: bool = True,
    ask: bool = False,
    strict: bool = False,
    serves: Callable[[ServerMetadata], bool] = lambda _: True,
) -> Flow[AuthorizationTarget]:
    """Discover the authorization server and the resource of an endpoint.

    Args:
        endpoint: URL of the MCP server.
        metadata_url: Where the server says that it describes itself, None where it does not say.
        issuers: Authorization servers to be preferred if the server names several.
        guess: Whether endpoints may be guessed where a server of MCP 2025-03-26 has no metadata.
        ask: Whether to ask the server itself where it describes itself, if that is nowhere else.
        strict: Whether a preferred authorization server that is named stands for all of them: tokens
            are for it, or it was chosen.
        serves: Returns whether an authorization server can do what is needed.

    Raises:
        NoMetadataError: The server describes itself nowhere.
        OAuthError: It cannot be found out, or the documents contradict each other.
    """
    resource = yield from find_resource(endpoint, metadata_url)
    if resource is None and metadata_url is None and ask:
        metadata_url = yield from _asked_for(endpoint)
        if metadata_url is not None:
            resource = yield from find_resource(endpoint, metadata_url)
    if resource is None:
        known = all(same_origin(issuer, endpoint) for issuer in issuers)
        if metadata_url is not None or not known:
            raise _undescribed(endpoint)
        return AuthorizationTarget((yield from _legacy_server(endpoint, guess)), None)
    server = yield from _first_server(resource, endpoint, issuers, strict, serves)
    return AuthorizationTarget(
        server,
        resource.resource,
        resource.scopes_supported,
        resource.dpop_required,
        resource.dpop_algorithms,
        metadata_url,
    )


def _first_server(
    resource: ResourceMetadata,
    endpoint: str,
    issuers: Sequence[str],
    strict: bool,
    serves: Callable[[ServerMetadata], bool],
) -> Flow[ServerMetadata]:
    """Return the first authorization server that can be asked and serves; if none does, why not."""
    # Without a name it is the server itself, as in MCP 2025-03-26.
    named = resource.authorization_servers[:MAX_AUTHORIZATION_SERVERS] or (origin_of(endpoint),)
    preferred = [name for issuer in issuers for name in named if same_issuer(issuer, name)]
    candidates = list(dict.fromkeys(preferred[:1] if preferred and strict else (*preferred, *named)))
    failure: OAuthError | None = None
    fallback: ServerMetadata | None = None
    for issuer in candidates:
        try:
            server = yield from find_server(issuer, optional=issuer != candidates[-1])
        except OAuthError as error:
            failure = failure or error
        else:
            if serves(server):
                return server
            fallback = fallback or server
    if fallback is not None:
        return fallback  # what is missing is said where it is needed
    if not resource.authorization_servers:
        raise OAuthError(
            f"{resource.resource} names no authorization server in its metadata, and its origin is none"
        ) from failure
    raise failure or AssertionError("one was asked")


def _asked_for(endpoint: str) -> Flow[str | None]:
    """Let the server refuse a request, and return where it says that it describes itself."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    answer = yield from fetch(HTTPStep("POST", endpoint, headers, _PING))
    challenge = for_tokens(parse_challenges([answer.headers.get("www-authenticate", "")]))
    refused = answer.status in (400, 401, 403)
    return challenge.resource_metadata if refused and challenge is not None else None


def find_resource(endpoint: str, metadata_url: str | None) -> Flow[ResourceMetadata | None]:
    """Return the metadata of the protected server, None where it has none.

    Raises:
        OAuthError: They are those of another server.
    """
    origin = origin_of(endpoint)
    # The path as it is (RFC 9728, section 3.1), and without the slash at its end, as many servers do.
    candidates = [f"{origin}{_RESOURCE}{path}" for path in (target_of(endpoint), path_of(endpoint), "")]
    if metadata_url is not None:
        candidates = [checked(metadata_url, "the URL of the server's metadata"), *candidates]
    document = yield from _first_document(candidates, "resource", metadata_url)
    return _resource(document, endpoint) if document is not None else None


def find_server(issuer: str, *, optional: bool = False) -> Flow[ServerMetadata]:
    """Return the metadata of an authorization server.

    Args:
        issuer: Its issuer.
        optional: Whether there are others to ask.

    Raises:
        OAuthError: There are none, or they are those of another issuer.
    """
    checked(issuer, "the issuer")
    origin, path = origin_of(issuer), path_of(issuer)
    candidates = [f"{origin}{_SERVER}{path}", f"{origin}{_OPENID}{path}"]
    if path:
        # Appended to the path: OpenID Connect Discovery, and servers that do the same with the other.
        candidates += [f"{origin}{path}{_OPENID}", f"{origin}{path}{_SERVER}"]
    document = yield from _first_document(candidates, optional=optional)
    if document is not None:
        return server_metadata(document, issuer)
    raise OAuthError(f"the authorization server {issuer} has no metadata: asked {', '.join(candidates)}")


def _legacy_server(endpoint: str, guess: bool) -> Flow[ServerMetadata]:
    """MCP 2025-03-26: the server is its own authorization server, at the root of its origin."""
    origin = origin_of(endpoint)
    document = yield from _first_document([f"{origin}{_SERVER}"])
    if document is not None:
        issuer = document.get("issuer")
        if not isinstance(issuer, str) or not covers(issuer, f"{origin}/"):
            raise OAuthError(f"the metadata at {origin} are those of another issuer")
        return server_metadata(document, issuer)
    if not guess:
        raise _undescribed(endpoint)
    checked(origin, "the server's origin")
    return ServerMetadata(
        issuer=origin,
        token_endpoint=f"{origin}/token",
        authorization_endpoint=f"{origin}/authorize",
        registration_endpoint=f"{origin}/register",
        code_challenge_methods=("S256",),
    )


class NoMetadataError(OAuthError):
    """A server describes itself nowhere."""


def _undescribed(endpoint: str) -> NoMetadataError:
    return NoMetadataError(
        f"{shown(endpoint)} describes itself nowhere (no protected resource metadata, RFC 9728), so that "
        "its authorization server is not known"
    )


def _get(url: str, optional: bool) -> Flow[HTTPAnswer]:
    """Get a document, by way of redirects within its origin."""
    answer = yield from fetch(HTTPStep("GET", url, {"Accept": "application/json"}, optional=optional))
    for _ in range(MAX_METADATA_REDIRECTS):
        location = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            break
        target = urljoin(url, location)
        if not same_origin(target, url):
            break  # another server has no say in what this one publishes
        url = target
        answer = yield from fetch(HTTPStep("GET", url, {"Accept": "application/json"}, optional=optional))
    return answer


def _first_document(
    urls: Sequence[str], member: str | None = None, named: str | None = None, optional: bool = False
) -> Flow[dict[str, Any] | None]:
    """Return the first document that is there, None where none is.

    Args:
        urls: Where it may be.
        member: A member that it must have.
        named: The place where it is known to be.
        optional: Whether there are other servers to ask.

    Raises:
        OAuthError: It may be there, but cannot be had now, which is not the same as not being there.
    """
    busy: OAuthError | None = None
    for url in dict.fromkeys(urls):
        answer = yield from _get(url, optional)
        document = json_object(answer) if answer.status == 200 else None
        if document is not None and (member is None or member in document):
            return document
        if answer.status == 0:
            raise OAuthError(f"{shown(url)} cannot be reached")
        if answer.status == 429 or answer.status >= 500:
            busy = busy or OAuthError(
                f"{shown(url)} cannot be had now: HTTP {answer.status}; try again later"
            )
            if url == named:
                raise busy
    if busy is not None:
        raise busy
    return None


def _resource(document: Mapping[str, Any], endpoint: str) -> ResourceMetadata:
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
