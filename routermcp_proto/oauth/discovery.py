"""Where to sign in: how the metadata of a server and of its authorization server are found.

Sources: RFC 9728, RFC 8414, OpenID Connect Discovery 1.0; MCP authorization, sections "Protected
Resource Metadata Discovery Requirements" and "Authorization Server Metadata Discovery"; for servers
without the former, MCP 2025-03-26.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

from ..exceptions import OAuthError
from .challenges import for_tokens, parse_challenges
from .metadata import (
    AuthorizationServer,
    AuthorizationTarget,
    ResourceMetadata,
    ServerMetadata,
    another_issuer,
    resource_metadata,
    server_metadata,
)
from .steps import Flow, HTTPAnswer, HTTPStep, fetch, json_object, words
from .urls import checked, covers, origin_of, path_of, same_issuer, same_origin, shown, target_of

_RESOURCE = "/.well-known/oauth-protected-resource"
_SERVER = "/.well-known/oauth-authorization-server"
_OPENID = "/.well-known/openid-configuration"

# Any request would do; one that is let in after all has a short answer.
_PING = b'{"jsonrpc":"2.0","id":0,"method":"ping"}'

#: Authorization servers of one MCP server that are asked; most name one, some one for each region.
MAX_AUTHORIZATION_SERVERS = 8

#: Redirects on the way to one document: a slash at the end, and a place of its own.
MAX_METADATA_REDIRECTS = 3


def discover_target(
    endpoint: str,
    metadata_url: str | None,
    *,
    known: AuthorizationServer | None = None,
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
        known: The authorization server of the application, if it has named one; no other is asked.
        issuers: Authorization servers to be preferred if the server names several.
        guess: Whether endpoints may be guessed where a server of MCP 2025-03-26 has no metadata.
        ask: Whether to ask the server itself where it describes itself, if that is nowhere else.
        strict: Whether a preferred authorization server that is named stands for all of them, as
            tokens are for it.
        serves: Returns whether an authorization server can do what is needed.

    Raises:
        NoMetadataError: The server describes itself nowhere.
        OAuthError: It cannot be found out, or the documents contradict each other.
    """
    resource = yield from find_resource(endpoint, metadata_url)
    if resource is None and metadata_url is None and known is None and ask:
        metadata_url = yield from _asked_for(endpoint)
        if metadata_url is not None:
            resource = yield from find_resource(endpoint, metadata_url)
    if resource is None:
        if known is not None:
            # What MCP demands of the parameter, as no metadata say what it is.
            return AuthorizationTarget((yield from find_known(known)), endpoint)
        if metadata_url is not None or not all(same_origin(issuer, endpoint) for issuer in issuers):
            raise _undescribed(endpoint)
        return AuthorizationTarget((yield from _legacy_server(endpoint, guess)), None)
    if known is not None:
        _check_named(resource, known)
        server = yield from find_known(known)
    else:
        server = yield from _first_server(resource, endpoint, issuers, strict, serves)
    return AuthorizationTarget(
        server,
        resource.resource,
        resource.scopes_supported,
        resource.dpop_required,
        resource.dpop_algorithms,
        metadata_url,
    )


def _check_named(resource: ResourceMetadata, known: AuthorizationServer) -> None:
    """Check that a server names the authorization server of the application, or none at all.

    Raises:
        OAuthError: It names others, which the application did not mean.
    """
    named = resource.authorization_servers
    if named and not any(same_issuer(name, known.issuer) for name in named):
        raise OAuthError(
            f"{resource.resource} names {words(', '.join(named))} as its authorization server, and issuer= "
            f"says {known.issuer}: nothing was sent there; if the server has moved, change issuer="
        )


def find_known(known: AuthorizationServer) -> Flow[ServerMetadata]:
    """Return the metadata of an authorization server that the application knows.

    Raises:
        OAuthError: There are none, or they are those of another issuer.
    """
    known.check()
    if known.token_endpoint is not None:
        said = {"issuer": known.issuer, "code_challenge_methods_supported": ["S256"]}
        return server_metadata({**said, **known.endpoints}, known.issuer, known)
    return (yield from find_server(known.issuer, known=known))


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
    answer = yield from fetch(HTTPStep("POST", endpoint, headers, _PING, to_server=False))
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
        if not same_origin(metadata_url, endpoint):
            checked(metadata_url, "the URL of the server's metadata")
        candidates = [metadata_url, *candidates]
    found = yield from _first_document(candidates, "resource", metadata_url, to_server=False)
    return resource_metadata(found.document, endpoint) if found.document is not None else None


def find_server(
    issuer: str, *, optional: bool = False, known: AuthorizationServer | None = None
) -> Flow[ServerMetadata]:
    """Return the metadata of an authorization server.

    Args:
        issuer: Its issuer.
        optional: Whether there are others to ask.
        known: What the application knows of it, None for nothing.

    Raises:
        OAuthError: There are none, or they are those of another issuer.
    """
    known = known or AuthorizationServer(issuer)
    checked(issuer, "the issuer", known.plain_hosts)
    origin, path = origin_of(issuer), path_of(issuer)
    candidates = [f"{origin}{_SERVER}{path}", f"{origin}{_OPENID}{path}"]
    if path:
        # Appended to the path: OpenID Connect Discovery, and servers that do the same with the other.
        candidates += [f"{origin}{path}{_OPENID}", f"{origin}{path}{_SERVER}"]
    if known.metadata_url is not None:
        candidates = [known.metadata_url]
    found = yield from _first_document(candidates, optional=optional)
    if found.document is not None:
        return server_metadata({**found.document, **known.endpoints}, issuer, known)
    raise OAuthError(
        f"the authorization server {issuer} has no metadata: asked {', '.join(found.asked)}; where it "
        f"publishes none, OAuthConfig(issuer=AuthorizationServer({issuer!r}, authorization_endpoint=..., "
        "token_endpoint=...)) says what they would"
    )


def _legacy_server(endpoint: str, guess: bool) -> Flow[ServerMetadata]:
    """MCP 2025-03-26: the server is its own authorization server, at the root of its origin."""
    origin = origin_of(endpoint)
    found = yield from _first_document([f"{origin}{_SERVER}"])
    if found.document is not None:
        issuer = found.document.get("issuer")
        if not isinstance(issuer, str) or not covers(issuer, f"{origin}/"):
            raise another_issuer(origin, issuer)
        return server_metadata(found.document, issuer)
    if not guess:
        raise _undescribed(endpoint)
    checked(origin, "the server's origin")
    return ServerMetadata(
        issuer=origin,
        token_endpoint=f"{origin}/token",
        authorization_endpoint=f"{origin}/authorize",
        registration_endpoint=f"{origin}/register",
        code_challenge_methods=("S256",),
        guessed=f"no metadata were found (asked {', '.join(found.asked)})",
    )


class NoMetadataError(OAuthError):
    """A server describes itself nowhere."""


def _undescribed(endpoint: str) -> NoMetadataError:
    return NoMetadataError(
        f"{shown(endpoint)} describes itself nowhere (no protected resource metadata, RFC 9728), so that "
        "its authorization server is not known"
    )


def _get(url: str, optional: bool, to_server: bool) -> Flow[HTTPAnswer]:
    """Get a document, by way of redirects within its origin."""
    step = HTTPStep("GET", url, {"Accept": "application/json"}, optional=optional, to_server=to_server)
    answer = yield from fetch(step)
    for _ in range(MAX_METADATA_REDIRECTS):
        location = answer.headers.get("location")
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            break
        target = urljoin(url, location)
        if not same_origin(target, url):
            break  # another server has no say in what this one publishes
        url = target
        answer = yield from fetch(replace(step, url=url))
    return answer


@dataclass(frozen=True, slots=True)
class _Search:
    """What came of a search for a document.

    Attributes:
        document: The document, None where there is none.
        asked: Where it was looked for, and what was there.
    """

    document: dict[str, Any] | None
    asked: Sequence[str]


def _first_document(
    urls: Sequence[str],
    member: str | None = None,
    named: str | None = None,
    *,
    optional: bool = False,
    to_server: bool = True,
) -> Flow[_Search]:
    """Search for the first document that is there.

    Args:
        urls: Where it may be.
        member: A member that it must have.
        named: The place where it is known to be.
        optional: Whether there are other servers to ask.
        to_server: Whether they are an authorization server's.

    Raises:
        OAuthError: It may be there, but cannot be had now, which is not the same as not being there.
    """
    busy: OAuthError | None = None
    asked: list[str] = []
    for url in dict.fromkeys(urls):
        answer = yield from _get(url, optional, to_server)
        document = json_object(answer) if answer.status == 200 else None
        if document is not None and (member is None or member in document):
            return _Search(document, asked)
        # Many servers send the page of an application for any path.
        asked.append(f"{shown(url)}: HTTP {answer.status}{', but no metadata' * (answer.status == 200)}")
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
    return _Search(None, asked)
