"""The check of an access token: which claims it has to make, and which tokens are no access tokens.

Sources: RFC 7519, RFC 8725 (JSON Web Tokens, and how to use them safely), RFC 9068 (access tokens), RFC 6750
(bearer tokens); MCP authorization, section "Access Token Usage".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import quote

from pydantic_core import from_json

from routermcp_proto.http.numbers import finite_number
from routermcp_proto.oauth.urls import same_issuer

from .refusals import TokenProblem, TokenRefusedError

#: Characters of the longest token. Those of Microsoft Entra with 200 groups have about 9,000.
MAX_TOKEN_CHARACTERS = 16 * 1024

#: Seconds that the clocks of the authorization server and of this machine may differ.
CLOCK_SKEW_SECONDS = 60.0

#: Characters of the longest user id that is made of a token: an issuer, and a subject of at most 255
#: (OpenID Connect Core, section 2).
MAX_TOKEN_USER = 512

#: Characters of a claim that an error repeats.
MAX_SHOWN_CLAIM = 100

# Between the issuer and the subject; an issuer has none.
_SEPARATOR = "#"

# The visible characters of ASCII, without the percent sign that stands for the others.
_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")

# The ``typ`` in headers of access tokens: RFC 9068, and of servers from before it.
_TYPES = ("at+jwt", "application/at+jwt", "jwt")

# Members by which authorization servers mark their tokens: Keycloak and Amazon Cognito.
_KINDS = {"typ": ("bearer", "jwt", "at+jwt"), "token_use": ("access",)}

# Claims of ID tokens and of logout tokens alone (OpenID Connect Core, section 3.1.3.6, and Back-Channel
# Logout).
_OTHER_TOKENS = ("at_hash", "c_hash", "s_hash", "events")


class SignatureKeys(Protocol):
    """Keys that verify signatures."""

    def check_signature(self, token: str, algorithm: str, key_id: str | None) -> None:
        """Check the signature of a token.

        Raises:
            TokenRefusedError: There is no such key, or none has made the signature.
        """
        ...


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token has to be."""

    issuer: str
    audiences: frozenset[str]
    """One of them has to be in it."""
    algorithms: frozenset[str]
    required_scopes: tuple[str, ...] = ()
    user_claim: str = "sub"
    """The claim that names the user."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token that was accepted."""

    user_id: str
    """Names the user among those of all issuers and of all keys."""
    subject: str
    """The user as the issuer names it."""
    until: float
    """When it ends, in seconds since 1970."""


def check_token(token: str, keys: SignatureKeys, rules: TokenRules, now: float) -> AccessToken:
    """Check a token.

    The issuer is compared before the signature is: a token of another server needs no search for keys.

    Args:
        token: The token.
        keys: The keys of the issuer.
        rules: What it has to be.
        now: The time, in seconds since 1970.

    Raises:
        TokenRefusedError: It is not accepted.
    """
    header, claims = _parts_of(token)
    algorithm, key_id = _check_header(header, rules)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not same_issuer(issuer, rules.issuer):
        said = _shown(issuer)
        raise TokenRefusedError(
            TokenProblem.ISSUER, f"the token is of the issuer {said}, not of {rules.issuer}"
        )
    keys.check_signature(token, algorithm, key_id)
    _check_kind(claims)
    _check_audience(claims, rules)
    until = _check_times(claims, now)
    subject = _subject_of(claims, rules)
    _check_scopes(claims, rules)
    return AccessToken(user_id_of(rules.issuer, subject), subject, until)


def user_id_of(issuer: str, subject: str) -> str:
    """Return the id of a user of an issuer, in visible characters: no other subject or issuer has it.

    Raises:
        TokenRefusedError: It would be too long.
    """
    user_id = f"{issuer}{_SEPARATOR}{quote(subject, safe=_VISIBLE)}"
    if len(user_id) > MAX_TOKEN_USER:
        raise TokenRefusedError(
            TokenProblem.USER, f"issuer and user have more than {MAX_TOKEN_USER} characters"
        )
    return user_id


def _parts_of(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the header and the claims of a token."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        problem = f"a token has at most {MAX_TOKEN_CHARACTERS} characters here"
        raise TokenRefusedError(TokenProblem.TOO_LONG, problem)
    parts = token.split(".")
    if len(parts) == 5:
        raise TokenRefusedError(TokenProblem.ENCRYPTED, "the token is encrypted, which is not supported")
    if len(parts) != 3:
        problem = (
            "this is neither a key of the gateway nor a JWT; an authorization server that gives other tokens "
            "may give JWTs where it is asked for this audience"
        )
        raise TokenRefusedError(TokenProblem.MALFORMED, problem)
    return _object_in(parts[0], "header"), _object_in(parts[1], "payload")


def _object_in(part: str, what: str) -> Mapping[str, Any]:
    try:
        padded = part.encode("ascii") + b"=" * (-len(part) % 4)
        value: Any = from_json(base64.b64decode(padded, altchars=b"-_", validate=True), allow_inf_nan=False)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise TokenRefusedError(TokenProblem.MALFORMED, f"the {what} of the token is no JSON object")
    return cast("dict[str, Any]", value)


def _check_header(header: Mapping[str, Any], rules: TokenRules) -> tuple[str, str | None]:
    """Return the algorithm of a token, and the key that it names."""
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        allowed = ", ".join(sorted(rules.algorithms))
        problem = f"the token is signed by {_shown(algorithm)}; allowed are {allowed}"
        raise TokenRefusedError(TokenProblem.ALGORITHM, problem)
    if "crit" in header or "b64" in header:
        problem = "the header of the token has extensions that must be understood, and none is"
        raise TokenRefusedError(TokenProblem.CRITICAL_HEADER, problem)
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefusedError(TokenProblem.TYPE, f"{_shown(kind)} is not the type of an access token")
    if key_id is not None and not isinstance(key_id, str):
        raise TokenRefusedError(TokenProblem.MALFORMED, "the kid of the token is no text")
    return algorithm, key_id


def _check_kind(claims: Mapping[str, Any]) -> None:
    """Check that it is an access token, and one that its sender need not prove to own."""
    for name, kinds in _KINDS.items():
        kind = claims.get(name)
        if isinstance(kind, str) and kind.lower() not in kinds:
            raise TokenRefusedError(TokenProblem.TYPE, f"{_shown(kind)} is not an access token")
    if any(name in claims for name in _OTHER_TOKENS):
        raise TokenRefusedError(TokenProblem.TYPE, "this is an ID token or a logout token, no access token")
    if "cnf" in claims:
        problem = "the token is bound to a key of its owner, which is not supported: ask for a bearer token"
        raise TokenRefusedError(TokenProblem.BOUND, problem)


def _check_audience(claims: Mapping[str, Any], rules: TokenRules) -> None:
    if rules.audiences.isdisjoint(_texts_of(claims.get("aud"))):
        said = _shown(claims.get("aud"))
        wanted = ", ".join(sorted(rules.audiences))
        raise TokenRefusedError(
            TokenProblem.AUDIENCE, f"the token is for the audience {said}, not for {wanted}"
        )


def _check_times(claims: Mapping[str, Any], now: float) -> float:
    """Check that a token is valid now; return when it ends."""
    until, since = _time_of(claims, "exp"), _time_of(claims, "nbf")
    if until is None:
        raise TokenRefusedError(TokenProblem.MALFORMED, "the token does not say when it ends (exp)")
    if now >= until + CLOCK_SKEW_SECONDS:
        raise TokenRefusedError(TokenProblem.EXPIRED, "the token has expired")
    if since is not None and now < since - CLOCK_SKEW_SECONDS:
        raise TokenRefusedError(TokenProblem.NOT_YET_VALID, "the token is not valid yet")
    return until + CLOCK_SKEW_SECONDS


def _time_of(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a time of a token, None without it."""
    if name not in claims:
        return None
    value = claims[name]
    number = finite_number(value) if not isinstance(value, str) else None
    if number is None:
        raise TokenRefusedError(TokenProblem.MALFORMED, f"the {name} of the token is no number of seconds")
    return number


def _subject_of(claims: Mapping[str, Any], rules: TokenRules) -> str:
    subject = claims.get(rules.user_claim)
    if not isinstance(subject, str) or not subject:
        raise TokenRefusedError(TokenProblem.USER, f"the token has no {rules.user_claim} that names its user")
    return subject


def _check_scopes(claims: Mapping[str, Any], rules: TokenRules) -> None:
    # ``scope`` is of RFC 9068; ``scp`` of Microsoft Entra, with spaces, and of Okta, a list.
    granted = {
        each for name in ("scope", "scp") for text in _texts_of(claims.get(name)) for each in text.split()
    }
    missing = [scope for scope in rules.required_scopes if scope not in granted]
    if missing:
        raise TokenRefusedError(TokenProblem.SCOPE, f"the token lacks the scope {' '.join(missing)}")


def _texts_of(value: object) -> Sequence[str]:
    """Return the texts of a claim that is one text or a list of them."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        return ()
    return [each for each in cast("list[object]", value) if isinstance(each, str)]


def _shown(value: object) -> str:
    """Return a claim for an error: printable and short."""
    text = repr(value) if value is not None else "none"
    return text if len(text) <= MAX_SHOWN_CLAIM else f"{text[:MAX_SHOWN_CLAIM]}..."
