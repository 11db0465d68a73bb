"""Which tokens open the gateway: those of the issuer for this audience, now, and no others."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from routermcp.gateway.access_tokens.checker import (
    CLOCK_SKEW_SECONDS,
    MAX_TOKEN_CHARACTERS,
    AccessToken,
    TokenRules,
    check_token,
    user_id_of,
)
from routermcp.gateway.access_tokens.refusals import TokenProblem, TokenRefusedError
from routermcp.gateway.access_tokens.signatures import VerificationKeys, read_key_set
from routermcp_proto.exceptions import RemoteProtocolError
from tests.gateway.access_tokens.issuing import (
    AUDIENCE,
    ISSUER,
    KEY,
    NOW,
    OTHER,
    RULES,
    claims,
    key_set,
    public,
    signed,
    token,
)

KEYS = public(KEY)
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
JSON = st.sampled_from(
    [None, True, 0, -1, 1e308, "", "x", "\ud800", [], ["x"], [None], {}, {"x": "x"}, NOW, AUDIENCE]
)


def accepted(
    text: str, keys: VerificationKeys = KEYS, rules: TokenRules = RULES, now: float = NOW
) -> AccessToken:
    return check_token(text, keys, rules, now)


def refused(
    text: str, keys: VerificationKeys = KEYS, rules: TokenRules = RULES, now: float = NOW
) -> TokenProblem:
    with pytest.raises(TokenRefusedError) as caught:
        check_token(text, keys, rules, now)
    assert str(caught.value)
    return caught.value.problem


def encoded(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_a_good_token_says_who_its_user_is_and_until_when() -> None:
    found = accepted(token())
    assert found == AccessToken(f"{ISSUER}#ada", "ada", NOW + 300 + CLOCK_SKEW_SECONDS)


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSA, "RS256"),
        (RSA, "RS512"),
        (RSA, "PS256"),
        (ECKey.generate_key("P-384", {"kid": "a"}), "ES384"),
        (ECKey.generate_key("P-521", {"kid": "a"}), "ES512"),
        (OTHER, "EdDSA"),
        (OTHER, "Ed25519"),
    ],
)
def test_each_asymmetric_algorithm_is_taken_with_its_own_keys_alone(key: Key, algorithm: str) -> None:
    text = token(key, {"alg": algorithm})
    assert accepted(text, public(KEY, key)).subject == "ada"
    only = replace(RULES, algorithms=frozenset({"ES256"}))
    assert refused(text, public(KEY, key), only) is TokenProblem.ALGORITHM


def test_a_shared_secret_is_taken_where_it_is_allowed() -> None:
    secret = OctKey.generate_key(256, {"kid": "secret"})
    keys = read_key_set({"keys": [secret.as_dict(private=True)]})
    text = token(secret, {"alg": "HS256"})
    assert accepted(text, keys, replace(RULES, algorithms=frozenset({"HS256"}))).subject == "ada"
    assert refused(text, keys) is TokenProblem.ALGORITHM


# ---- signatures -------------------------------------------------------------------------------------


def test_a_token_without_a_signature_is_refused() -> None:
    for algorithm in ("none", "None", "NONE", "", None, 1, ["ES256"]):
        text = f"{encoded({'alg': algorithm, 'kid': 'first'})}.{encoded(claims())}."
        assert refused(text) is TokenProblem.ALGORITHM
    head, payload, _ = token().split(".")
    assert refused(f"{head}.{payload}.") is TokenProblem.SIGNATURE


def test_a_public_key_is_no_secret_of_an_hmac() -> None:
    """CVE-2015-9235 and its like: the public key, in any form, as the secret of HS256."""
    forms = (RSA.as_pem(private=False), RSA.as_der(private=False), json.dumps(RSA.as_dict()).encode())
    keys = public(RSA)
    for rules in (RULES, replace(RULES, algorithms=frozenset({"RS256", "HS256"}))):
        for secret in forms:
            text = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded(claims())}"
            forged = f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"
            assert refused(forged, keys, rules) in (TokenProblem.ALGORITHM, TokenProblem.UNKNOWN_KEY)


def test_the_key_that_a_token_brings_along_counts_for_nothing() -> None:
    own = ECKey.generate_key("P-256", {"kid": "first"})
    brought = {
        "jwk": own.as_dict(private=False),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/c",
    }
    assert refused(token(own, brought)) is TokenProblem.SIGNATURE
    assert refused(token(own, {**brought, "kid": "own"})) is TokenProblem.UNKNOWN_KEY


@given(place=st.integers(0, 2), index=st.integers(0, 10_000), character=st.characters(codec="utf-8"))
def test_a_token_that_was_changed_anywhere_is_refused(place: int, index: int, character: str) -> None:
    parts = token().split(".")
    at = index % len(parts[place])
    changed = parts[place][:at] + character + parts[place][at + 1 :]
    # The last character of a part in base64 has bits that mean nothing.
    if changed[:-1] != parts[place][:-1]:
        parts[place] = changed
        refused(".".join(parts))


def test_a_key_is_found_by_its_name() -> None:
    keys = public(KEY, OTHER)
    assert refused(token(header={"kid": "second"}), keys) is TokenProblem.UNKNOWN_KEY, "of another kind"
    assert refused(token(header={"kid": "third"}), keys) is TokenProblem.UNKNOWN_KEY
    assert accepted(token(header={"kid": None}), keys).subject == "ada", (
        "all keys for the algorithm are tried"
    )
    unnamed = {**KEY.as_dict(private=False), "kid": None, "alg": None, "use": None}
    assert accepted(token(header={"kid": "any"}), read_key_set({"keys": [unnamed]})).subject == "ada"


@pytest.mark.parametrize("more", [{"use": "enc"}, {"alg": "ES384"}, {"key_ops": ["sign"]}])
def test_a_key_that_is_for_something_else_does_not_verify(more: dict[str, Any]) -> None:
    keys = {"keys": [{**KEY.as_dict(private=False), **more}, *key_set(OTHER)["keys"]]}
    assert refused(token(), read_key_set(keys)) is TokenProblem.UNKNOWN_KEY


def test_one_key_that_cannot_be_used_costs_no_other() -> None:
    weak = {"kty": "RSA", "e": "AQAB", "n": "x" * 171, "kid": "weak"}
    odd: list[Any] = [
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "xx"},
        {"kty": "OKP", "crv": "X25519", "x": "a"},
        {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"},
        {"kty": "oct", "k": "short"},
        {"kty": ["EC"]},
        weak,
        None,
        "key",
        {},
    ]
    keys = read_key_set({"keys": [*odd, *key_set(KEY)["keys"]]})
    assert accepted(token(), keys).subject == "ada"
    assert len(keys) == 1
    with pytest.raises(RemoteProtocolError, match="no key"):
        read_key_set({"keys": odd})


@given(
    JSON
    | st.fixed_dictionaries(
        {"keys": JSON | st.lists(st.dictionaries(st.sampled_from(["kty", "n", "k", "x"]), JSON))}
    )
)
def test_whatever_is_published_is_a_key_set_or_an_error(document: Any) -> None:
    with contextlib.suppress(RemoteProtocolError):
        read_key_set(document)


# ---- the header --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", None])
def test_types_of_access_tokens_are_taken(kind: str | None) -> None:
    assert accepted(token(header={"typ": kind})).subject == "ada"


@pytest.mark.parametrize(
    "kind", ["dpop+jwt", "logout+jwt", "secevent+jwt", "oauth-authz-req+jwt", "", 7, ["at+jwt"]]
)
def test_tokens_of_other_types_are_refused(kind: Any) -> None:
    assert refused(token(header={"typ": kind})) is TokenProblem.TYPE


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"crit": ["b64"], "b64": True}, {"b64": True}]
)
def test_extensions_that_must_be_understood_are_not(header: dict[str, Any]) -> None:
    assert refused(token(header=header)) is TokenProblem.CRITICAL_HEADER


def test_a_token_within_a_token_is_refused() -> None:
    assert refused(signed(token().encode(), cty="JWT")) is TokenProblem.MALFORMED
    assert refused(".".join(["e30"] * 5)) is TokenProblem.ENCRYPTED


@pytest.mark.parametrize(
    "text", ["", "opaque", "a.b", "a.b.c", "e30.e30.e30.e30", "e30.W10.x", "\xe4.e30.x", "e30.e30.x"]
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refused(text) in (TokenProblem.MALFORMED, TokenProblem.ALGORITHM)


@pytest.mark.parametrize("payload", [b"[]", b'"x"', b"{", b"\xff", b'{"exp": NaN}', b"[" * 5_000])
def test_a_payload_that_is_no_object_is_refused(payload: bytes) -> None:
    assert refused(signed(payload)) is TokenProblem.MALFORMED


def test_a_long_token_is_not_looked_at() -> None:
    filler = "x" * MAX_TOKEN_CHARACTERS
    assert refused(token(groups=filler)) is TokenProblem.TOO_LONG
    assert accepted(token(groups=filler[: MAX_TOKEN_CHARACTERS // 2])).subject == "ada"


# ---- claims ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer",
    [
        None,
        "",
        "https://id.example",
        f"{ISSUER}/",
        ISSUER.upper(),
        f"{ISSUER}2",
        [ISSUER],
        "https://evil.example",
    ],
)
def test_another_issuer_is_refused(issuer: Any) -> None:
    assert refused(token(iss=issuer)) is TokenProblem.ISSUER


def test_the_slash_after_a_host_makes_no_other_issuer() -> None:
    host = replace(RULES, issuer="https://tenant.example")
    found = [accepted(token(iss=issuer), rules=host) for issuer in ("https://tenant.example/", host.issuer)]
    assert found[0] == found[1], "and no other user"


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
def test_one_audience_is_enough(audience: Any) -> None:
    assert accepted(token(aud=audience)).subject == "ada"


@pytest.mark.parametrize(
    "audience", [None, "", "other", [], ["other"], f"{AUDIENCE}/", AUDIENCE[:-1], {AUDIENCE: 1}, [[AUDIENCE]]]
)
def test_a_token_for_others_is_refused(audience: Any) -> None:
    assert refused(token(aud=audience)) is TokenProblem.AUDIENCE


@given(st.integers(-1_000, 1_000))
def test_a_token_is_good_from_its_beginning_to_its_end(offset: int) -> None:
    text = token(nbf=NOW - 100, exp=NOW + 100)
    now = NOW + offset
    if offset < -100 - CLOCK_SKEW_SECONDS:
        assert refused(text, now=now) is TokenProblem.NOT_YET_VALID
    elif offset >= 100 + CLOCK_SKEW_SECONDS:
        assert refused(text, now=now) is TokenProblem.EXPIRED
    else:
        assert accepted(text, now=now).until > now


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize("value", ["1900000000", True, [1], {}, "never", 10**400])
def test_times_are_numbers(name: str, value: Any) -> None:
    assert refused(token(**{name: value})) is TokenProblem.MALFORMED


def test_a_token_without_an_end_is_refused() -> None:
    assert refused(token(exp=None)) is TokenProblem.MALFORMED


@pytest.mark.parametrize(
    "more",
    [
        {"typ": "ID"},
        {"typ": "Refresh"},
        {"typ": "Logout"},
        {"token_use": "id"},
        {"at_hash": "x"},
        {"c_hash": "x"},
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
    ],
)
def test_other_tokens_of_the_issuer_are_no_access_tokens(more: dict[str, Any]) -> None:
    """RFC 8725, section 3.12: an ID token may have the audience of an access token."""
    assert refused(token(header={"typ": "JWT"}, **more)) is TokenProblem.TYPE


@pytest.mark.parametrize("more", [{"typ": "Bearer"}, {"token_use": "access"}, {"nonce": "n"}])
def test_what_servers_say_of_access_tokens_is_taken(more: dict[str, Any]) -> None:
    assert accepted(token(**more)).subject == "ada"


@pytest.mark.parametrize("proof", [{"jkt": "x"}, {"x5t#S256": "x"}, {}])
def test_a_token_that_is_bound_to_a_key_is_not_taken_without_it(proof: Any) -> None:
    assert refused(token(cnf=proof)) is TokenProblem.BOUND


# ---- users and scopes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", [None, "", 7, ["ada"]])
def test_a_token_names_its_user(subject: Any) -> None:
    assert refused(token(sub=subject)) is TokenProblem.USER


def test_another_claim_may_name_the_user() -> None:
    rules = replace(RULES, user_claim="oid")
    assert accepted(token(oid="b-c"), rules=rules).user_id == f"{ISSUER}#b-c"
    assert refused(token(), rules=rules) is TokenProblem.USER


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_different_users_have_different_ids_that_can_stand_in_a_header(one: str, other: str) -> None:
    subjects = [one.encode("utf-8", "replace").decode(), other.encode("utf-8", "replace").decode()]
    ids = [user_id_of(ISSUER, subject) for subject in subjects]
    assert (ids[0] == ids[1]) == (subjects[0] == subjects[1])
    assert all("!" <= character <= "~" for character in "".join(ids))
    assert user_id_of("https://id.example", f"{one}") != user_id_of("https://id.example/realms", one)


def test_a_user_id_has_a_length_that_stores_take() -> None:
    assert refused(token(sub="ä" * 200)) is TokenProblem.USER
    assert accepted(token(sub="x" * 255)).subject == "x" * 255


@pytest.mark.parametrize(
    "granted", [{"scope": "b a"}, {"scp": "a b c"}, {"scp": ["b", "a"]}, {"scope": "a", "scp": "b"}]
)
def test_all_scopes_that_are_required_are_enough(granted: dict[str, Any]) -> None:
    assert accepted(token(**granted), rules=replace(RULES, required_scopes=("a", "b"))).subject == "ada"


@pytest.mark.parametrize(
    "granted",
    [{}, {"scope": "a"}, {"scope": "ab"}, {"scope": "a,b"}, {"scope": {"a": 1, "b": 1}}, {"scope": "A B"}],
)
def test_a_scope_that_is_missing_is_told(granted: dict[str, Any]) -> None:
    assert refused(token(**granted), rules=replace(RULES, required_scopes=("a", "b"))) is TokenProblem.SCOPE


@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "scope", "typ", "cnf"]), JSON))
def test_whatever_is_claimed_there_is_a_user_or_a_refusal(changed: dict[str, Any]) -> None:
    with contextlib.suppress(TokenRefusedError):
        assert accepted(signed({**claims(), **changed})).subject
