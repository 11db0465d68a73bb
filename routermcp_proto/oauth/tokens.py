"""The token endpoint: asking, renewing, giving back (RFC 6749, RFC 7009)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ..exceptions import OAuthError
from ..redaction import without
from .client_auth import BASIC, POST, PRIVATE_KEY, Client, Signer, authenticate, basic_credentials
from .dpop import USE_NONCE, Prover
from .scopes import granted
from .steps import (
    Clock,
    Entropy,
    Flow,
    HTTPAnswer,
    InvalidGrantError,
    TokenError,
    base64url,
    fetch,
    json_object,
    post_form,
    seconds,
    sendable,
    words,
)

#: A token is renewed so many seconds before it ends, or this part of its life before, whichever
#: is less: a request that carries it has to arrive in time.
RENEW_AHEAD_SECONDS = 60.0
RENEW_AHEAD_FRACTION = 0.2

#: Servers that count in whole seconds end a token up to one second before it is due, and some take
#: a token that comes too late for a theft. So many seconds before the end is the least therefore,
#: or this part of a life that is hardly longer.
MIN_RENEW_AHEAD_SECONDS = 1.4
SHORT_RENEW_AHEAD_FRACTION = 0.7

#: Seconds that an assertion of ours is good for.
ASSERTION_SECONDS = 300

#: Members of a request to a token endpoint that are secret.
SECRETS = (
    "code",
    "code_verifier",
    "device_code",
    "refresh_token",
    "client_secret",
    "client_assertion",
    "assertion",
    "subject_token",
    "actor_token",
)

#: Bytes of the longest access token: it goes into one header line of each request, of which common
#: servers take 8 KiB.
MAX_ACCESS_TOKEN_BYTES = 8 * 1024

#: Seconds of the longest life of a token that is believed: ten years.
MAX_LIFE_SECONDS = 10 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that an authorization server gave."""

    access_token: str = field(repr=False)
    token_type: str
    """In lower case: ``bearer`` or ``dpop``."""

    issuer: str
    obtained_at: float
    expires_at: float | None = None
    """Seconds since 1970, None where the server did not say."""

    refresh_token: str | None = field(default=None, repr=False)
    scope: tuple[str, ...] = ()
    """The granted scopes, or the requested ones where the server did not say."""

    def due(self, now: float) -> bool:
        """Return whether it is time to renew them."""
        if self.expires_at is None:
            return False
        ahead = min(RENEW_AHEAD_SECONDS, max(self._life * RENEW_AHEAD_FRACTION, self._least))
        return now >= self.expires_at - ahead

    def ending(self, now: float) -> bool:
        """Return whether it is too late to use them once more before they are renewed."""
        return self.expires_at is not None and now >= self.expires_at - self._least

    @property
    def _life(self) -> float:
        return max((self.expires_at or 0.0) - self.obtained_at, 0.0)

    @property
    def _least(self) -> float:
        return min(MIN_RENEW_AHEAD_SECONDS, self._life * SHORT_RENEW_AHEAD_FRACTION)

    def to_json(self) -> dict[str, Any]:
        """Return their JSON form."""
        kept: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "issuer": self.issuer,
            "obtained_at": self.obtained_at,
            "expires_at": self.expires_at,
            "refresh_token": self.refresh_token,
            "scope": " ".join(self.scope),
        }
        return {name: value for name, value in kept.items() if value is not None}

    @classmethod
    def from_json(cls, kept: object) -> Tokens | None:
        """Return the tokens of a JSON form, None where that holds none."""
        if not isinstance(kept, dict):
            return None
        known = cast("dict[str, Any]", kept)
        access, issuer, kind = (known.get(name) for name in ("access_token", "issuer", "token_type"))
        if not is_access_token(access) or not sendable(issuer):
            return None
        return cls(
            access_token=str(access),
            token_type=kind.lower() if isinstance(kind, str) else "bearer",
            issuer=str(issuer),
            obtained_at=seconds(known.get("obtained_at")) or 0.0,
            expires_at=seconds(known.get("expires_at")),
            refresh_token=sendable(known.get("refresh_token")),
            scope=tuple((sendable(known.get("scope")) or "").split()),
        )


def is_access_token(value: object) -> bool:
    """Return whether a value can be an access token: a header carries its characters."""
    return isinstance(value, str) and bool(value) and value.isascii() and value.isprintable()


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """A token endpoint, with the client and the keys for requests to it."""

    issuer: str
    url: str
    client: Client | None
    """None where the grant itself identifies the client."""

    random: Entropy
    clock: Clock
    prover: Prover | None = None
    """Makes the tokens good for its key only, None for plain ones."""

    signer: Signer | None = None
    """The client's key, for ``private_key_jwt``."""

    parameters: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Further parameters of each request for tokens; none of them replaces one of the grant."""

    client_id_beside: bool = True
    """Whether the form names the client beside an ``Authorization`` header that does."""

    optional: bool = False
    """Whether to ask again later where it cannot be reached, which counts as the status 0."""

    def ask(self, form: Mapping[str, str], scope: tuple[str, ...] = ()) -> Flow[Tokens]:
        """Ask for tokens.

        Args:
            form: The grant, without the client's authentication.
            scope: The requested scopes.

        Raises:
            InvalidGrantError: What was shown is no longer good.
            OAuthError: The server refuses for another reason, or gives nothing of use.
        """
        began = self.clock()
        filled, answer = yield from self.post(form)
        document = json_object(answer) or {}
        nonce = answer.headers.get("dpop-nonce")
        if answer.status in (400, 401) and document.get("error") == USE_NONCE and nonce and self.prover:
            filled, answer = yield from self.post(form)
            document = json_object(answer) or {}
        for other in self._other_ways(answer.status, document):
            # A server that refuses the client has not looked at the grant yet.
            once_more, other_answer = yield from other.post(form)
            said = json_object(other_answer) or {}
            if _is_success(other_answer.status, said):
                filled, answer, document = once_more, other_answer, said
                break
            if said.get("error") != document.get("error"):
                break  # it has looked at the grant now, and may take it for spent
        if not _is_success(answer.status, document) and (
            _says_no(document) or not 200 <= answer.status < 300
        ):
            raise refused(self.issuer, answer.status, document, secrets_of(filled, self.client))
        return self._read(document, scope, began)

    def _other_ways(self, status: int, document: Mapping[str, Any]) -> tuple[TokenEndpoint, ...]:
        """Return the endpoint with the client shown in other ways, none where that is no remedy.

        Some servers take the secret in the form only, whatever they publish; others refuse a client id
        beside the Basic credentials (RFC 6749, section 2.3: one method a request).
        """
        client = self.client
        if client is None or client.method != BASIC or status not in (400, 401, 403):
            return ()
        in_form = replace(self, client=replace(client, method=POST))
        alone = replace(self, client_id_beside=False)
        return {"invalid_client": (in_form,), "invalid_request": (alone, in_form)}.get(
            str(document.get("error")), ()
        )

    def post(self, form: Mapping[str, str]) -> Flow[tuple[Mapping[str, str], HTTPAnswer]]:
        """Post a form once; return it as it was sent, and the answer."""
        filled, headers = self.signed({**self.parameters, **form})
        if not self.client_id_beside and "Authorization" in headers:
            del filled["client_id"]
        if self.prover is not None:
            headers["DPoP"] = self.prover.proof("POST", self.url)
        answer = yield from fetch(
            post_form(self.url, filled, headers, optional=self.optional, named_by=self.issuer)
        )
        nonce = answer.headers.get("dpop-nonce")
        if self.prover is not None and nonce:
            self.prover.note_nonce(self.url, nonce)
        return filled, answer

    def signed(self, form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return a form with the client's authentication, and the headers that go with it."""
        filled = dict(form)
        headers = authenticate(self.client, filled, assertion=self._assertion()) if self.client else {}
        return filled, headers

    def _assertion(self) -> str | None:
        if self.signer is None or self.client is None or self.client.method != PRIVATE_KEY:
            return None
        now = int(self.clock())
        return self.signer.sign(
            {
                "iss": self.client.client_id,
                "sub": self.client.client_id,
                "aud": self.issuer,
                "jti": base64url(self.random(16)),
                "iat": now,
                "exp": now + ASSERTION_SECONDS,
            }
        )

    def _read(self, document: Mapping[str, Any], scope: tuple[str, ...], began: float) -> Tokens:
        token, kind = document.get("access_token"), document.get("token_type") or "bearer"
        refresh, given = document.get("refresh_token"), document.get("scope")
        if not isinstance(token, str) or not is_access_token(token):
            raise OAuthError(f"{self.issuer} answered without an access token")
        if len(token) > MAX_ACCESS_TOKEN_BYTES:
            raise OAuthError(
                f"{self.issuer} gave an access token of {len(token)} bytes, and at most "
                f"{MAX_ACCESS_TOKEN_BYTES} fit into a request header; ask for fewer scopes, or have the "
                "server put less into its tokens"
            )
        if not isinstance(kind, str) or kind.lower() not in ("bearer", "dpop"):
            raise OAuthError(f"{self.issuer} gave a token of a type that is not known here: {words(kind)!r}")
        life = seconds(document.get("expires_in"))
        return Tokens(
            access_token=token,
            token_type=kind.lower(),
            issuer=self.issuer,
            obtained_at=began,  # the server's seconds count from no earlier
            expires_at=began + min(life, MAX_LIFE_SECONDS) if life is not None else None,
            refresh_token=refresh if isinstance(refresh, str) and refresh else None,
            scope=granted(given) if isinstance(given, str) and given else scope,
        )


def secrets_of(form: Mapping[str, str], client: Client | None) -> list[str]:
    """Return the secrets in a form and its headers, which no error may show."""
    sent = [form[name] for name in SECRETS if name in form]
    if client is None or not client.client_secret:
        return sent
    return [*sent, client.client_secret, basic_credentials(client)]


def refused(issuer: str, status: int, document: Mapping[str, Any], secrets: Sequence[str] = ()) -> TokenError:
    """Return the error for a refusal of an authorization server.

    Args:
        issuer: The server.
        status: The status of its answer.
        document: Its JSON answer.
        secrets: Secrets of the request, which the answer might repeat.
    """
    code, description = (words(without(each, secrets, shortest=1)) for each in _token_error(document))
    message = f"{issuer} gave no token: {code or f'HTTP {status}'}"
    if description:
        message += f" ({description})"
    return (InvalidGrantError if code == "invalid_grant" else TokenError)(message, code, status)


def _is_success(status: int, document: Mapping[str, Any]) -> bool:
    """Return whether an answer gives a token: 201 and others do as well (Supabase, NestJS)."""
    return 200 <= status < 300 and bool(document.get("access_token")) and not _says_no(document)


def _says_no(document: Mapping[str, Any]) -> bool:
    """Return whether an answer is an error by its content: GitHub and Slack send it with the status 200."""
    return bool(document.get("error")) or document.get("ok") is False


#: Members by which servers say why they refuse, after those of RFC 6749.
_DESCRIPTIONS = ("error_description", "message", "detail", "error_message")


def _token_error(document: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the code and the description of an error, as far as the document has any."""
    code: Any = document.get("error")
    said: Mapping[str, Any] = document
    if isinstance(code, dict):
        said = {**document, **cast("dict[str, Any]", code)}
        code = next(
            (said[name] for name in ("code", "type", "status") if isinstance(said.get(name), str)), ""
        )
    return code, next((said[name] for name in _DESCRIPTIONS if isinstance(said.get(name), str)), "")


def refresh_tokens(token_endpoint: TokenEndpoint, tokens: Tokens, resource: str | None) -> Flow[Tokens]:
    """Renew tokens.

    Raises:
        InvalidGrantError: There is nothing to renew them with; the user has to sign in again.
        TokenError: The server refuses; it says whether that is temporary.
        OAuthError: It did not work this time.
    """
    if tokens.refresh_token is None:
        raise InvalidGrantError(f"{tokens.issuer} gave nothing to renew the token with", "invalid_grant")
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    if resource is not None:
        form["resource"] = resource
    try:
        renewed = yield from token_endpoint.ask(form, tokens.scope)
    except TokenError as error:
        if resource is None or error.error not in ("invalid_request", "invalid_target"):
            raise
        # Servers that took the parameter with the code may refuse it here, where it may be left out: the
        # tokens stay those of the grant (RFC 8707, section 2.2).
        del form["resource"]
        renewed = yield from token_endpoint.ask(form, tokens.scope)
    if renewed.refresh_token is not None:
        return renewed
    # Without rotation the old one stays good (RFC 6749, section 6).
    return Tokens(
        renewed.access_token,
        renewed.token_type,
        renewed.issuer,
        renewed.obtained_at,
        renewed.expires_at,
        tokens.refresh_token,
        renewed.scope,
    )


def revoke_tokens(revocation_url: str, token_endpoint: TokenEndpoint, tokens: Tokens) -> Flow[None]:
    """Revoke tokens at the authorization server, and ignore its answers.

    Args:
        revocation_url: Its revocation endpoint (RFC 7009).
        token_endpoint: The client and how it authenticates.
        tokens: The tokens.
    """
    secrets = [(tokens.refresh_token, "refresh_token"), (tokens.access_token, "access_token")]
    for token, kind in secrets:
        if token is not None:
            form, headers = token_endpoint.signed({"token": token, "token_type_hint": kind})
            yield from fetch(post_form(revocation_url, form, headers, named_by=token_endpoint.issuer))
