"""Requests with access tokens: who sends them, and where a client without one may get it.

Sources: RFC 6750, section 3 (challenges); RFC 9728, sections 3 and 5 (metadata of a protected resource); MCP
authorization, section "Authorization Server Location".
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Sequence
from typing import Any

from routermcp_proto.error_codes import INTERNAL_ERROR, INVALID_REQUEST, UNAUTHORIZED
from routermcp_proto.exceptions import MCPError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.oauth.urls import covers

from ..access_tokens.refusals import TokenProblem, TokenRefusedError
from ..access_tokens.verifier import TokenVerifier
from ..backend import View
from ..errors import Rejected
from .asgi import RequestHead, Scope
from .authentication import USER_HEADER, Credential, Identity, not_for_users
from .routes.protected_resource import METADATA_PATH

log = logging.getLogger("routermcp.gateway")

#: Seconds after which a client may come again while the keys of the authorization server are not to be had.
KEYS_RETRY_AFTER_SECONDS = 10

# All paths of a project are one resource, and so is a path with and without the slash at its end.
_PROJECT = re.compile(r"(/v1/mcp/[^/]+)(?:/(?:request|sse))?/?")
_AUTHORITY = re.compile(r"[A-Za-z0-9.:\[\]_-]+")
_QUOTED = re.compile(r'[^\x20-\x7e]|["\\]')


class BearerTokens:
    """Identifies requests by the access tokens of an authorization server.

    Args:
        verifier: Verifies the tokens.
        path: Path of the endpoint, which the metadata are about where no other path is named.
        public_url: The URL by which clients reach the gateway, without a path of its own; None for what
            their requests say.
        scopes: The scopes that clients are told to ask for.
        projects: The projects that tokens open, None for all of them.
        view: What is seen with them, None for everything.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        *,
        path: str = "/mcp",
        public_url: str | None = None,
        scopes: Sequence[str] = (),
        projects: Collection[str] | None = None,
        view: View | None = None,
    ) -> None:
        self._verifier = verifier
        self._rules = verifier.rules
        self._path = path
        self._public_url = public_url
        self._scopes = scopes
        # No key has a byte 0, so that no user of a key is one of the issuer.
        fingerprint = hashlib.sha256(b"issuer\0" + self._rules.issuer.encode()).digest()
        self.credential = Credential("access token", fingerprint, projects=projects, view=view)

    async def identify(self, head: RequestHead, scope: Scope, token: str) -> Identity:
        """Return the identity of a request with a token.

        A request may repeat the name of its user; any other name is refused, as for keys that do not act
        for users.

        Raises:
            Rejected: The token is not accepted (401), lacks a scope or names another user (403), or there
                are no keys to check it with (503).
        """
        try:
            accepted = await self._verifier.verify(token)
        except TokenRefusedError as refused:
            raise self._refusal(refused, head, scope) from None
        except MCPError as error:
            reason = ErrorObject(INTERNAL_ERROR, str(error), {"reason": "token_keys"})
            headers = [(b"retry-after", b"%d" % KEYS_RETRY_AFTER_SECONDS)]
            raise Rejected(503, reason, headers=headers) from error
        named = head.get(USER_HEADER)
        if named is not None and named not in (accepted.subject, accepted.user_id):
            raise not_for_users("an access token names its user itself: leave the user id out")
        return Identity(self.credential, accepted.user_id)

    def unauthenticated(self, head: RequestHead, scope: Scope) -> Rejected:
        """Return the refusal of a request that has no credential: it says where tokens are given."""
        problem = "sign in, and give the access token as Authorization: Bearer ..."
        return self._refusal(TokenRefusedError(TokenProblem.MISSING, problem), head, scope)

    def metadata(self, head: RequestHead, scope: Scope) -> dict[str, Any]:
        """Return the metadata that a request asks for, by the path behind :data:`METADATA_PATH`."""
        url = self._base(head, scope) + self._resource_path(head.path.removeprefix(METADATA_PATH))
        # An audience that stands for the endpoint is what tokens have to be asked for; the nearest one.
        audiences = [each for each in self._rules.audiences if covers(each, url)]
        document: dict[str, Any] = {
            "resource": max(audiences, key=len, default=url),
            "authorization_servers": [self._rules.issuer],
            "bearer_methods_supported": ["header"],
        }
        if self._scopes:
            document["scopes_supported"] = [*self._scopes]
        return document

    def _refusal(self, refused: TokenRefusedError, head: RequestHead, scope: Scope) -> Rejected:
        problem = refused.problem
        if problem is not TokenProblem.MISSING:
            log.debug("an access token was refused: %s", refused.text)
        status = 403 if problem is TokenProblem.SCOPE else 401
        parameters: dict[str, str] = {}
        if problem is TokenProblem.SCOPE:
            parameters["error"] = "insufficient_scope"
        elif problem is not TokenProblem.MISSING:
            parameters["error"] = "invalid_token"
        if "error" in parameters:
            parameters["error_description"] = _QUOTED.sub("?", refused.text)
        if self._scopes:
            parameters["scope"] = " ".join(self._scopes)
        path = self._resource_path(head.path)
        parameters["resource_metadata"] = f"{self._base(head, scope)}{METADATA_PATH}{path}"
        challenge = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
        error = ErrorObject(UNAUTHORIZED, refused.text, {"reason": problem.value})
        return Rejected(status, error, headers=[(b"www-authenticate", challenge.encode("ascii"))])

    def _resource_path(self, path: str) -> str:
        """Return the path of the resource that a path belongs to."""
        project = _PROJECT.fullmatch(path)
        if project is not None:
            return project[1]
        return path.rstrip("/") if path.startswith(f"{self._path}/") else self._path

    def _base(self, head: RequestHead, scope: Scope) -> str:
        """Return the URL of the gateway without a path: the given one, else that of the request."""
        if self._public_url is not None:
            return self._public_url
        host = head.get("host") or ""
        if not _AUTHORITY.fullmatch(host):
            raise Rejected(400, ErrorObject(INVALID_REQUEST, "the Host is not that of a URL"))
        # A proxy that ends TLS says so; a client that says it alone misleads itself alone.
        forwarded = (head.joined("X-Forwarded-Proto") or "").partition(",")[0].strip().lower()
        scheme = forwarded if forwarded in ("http", "https") else scope.get("scheme", "http")
        return f"{scheme}://{host}"
