"""The user's consent."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.client_auth import Client
from routermcp_proto.oauth.code_grant import (
    PendingSignIn,
    begin,
    code_from,
    exchange_form,
    refusal_in,
    state_of,
)
from routermcp_proto.oauth.metadata import AuthorizationTarget, server_metadata
from routermcp_proto.oauth.steps import base64url
from tests.proto.oauth.world import ENDPOINT, ISSUER, REDIRECT, Chance, World


def begun(scope: tuple[str, ...] = (), resource: str | None = ENDPOINT, **changes: Any) -> PendingSignIn:
    chance = Chance()
    target = AuthorizationTarget(server_metadata({**World().server, **changes}, ISSUER), resource)
    return begin(
        target,
        Client("c"),
        redirect_uri=REDIRECT,
        scope=scope,
        dpop=False,
        parameters={},
        tag="",
        random=chance.random,
        clock=chance.now,
    )


def query(pending: PendingSignIn) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(pending.url).query).items()}


def back(pending: PendingSignIn, **parameters: str) -> str:
    return f"{REDIRECT}?{urlencode({'state': pending.state, **parameters})}"


def test_where_the_user_is_sent() -> None:
    pending = begun(("a", "b"))
    sent = query(pending)
    challenge = base64url(hashlib.sha256(pending.kept["verifier"].encode()).digest())
    assert sent == {
        "response_type": "code",
        "client_id": "c",
        "redirect_uri": REDIRECT,
        "state": pending.state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "scope": "a b",
        "resource": ENDPOINT,
    }


def test_what_is_left_out() -> None:
    sent = query(begun(resource=None))
    assert not sent.keys() & {"scope", "resource", "prompt"}
    assert query(begun(("offline_access",)))["prompt"] == "consent"


def test_a_page_with_a_query_keeps_it() -> None:
    sent = query(begun(authorization_endpoint=f"{ISSUER}/authorize?tenant=7"))
    assert (sent["tenant"], sent["client_id"]) == ("7", "c")


@pytest.mark.parametrize("methods", [None, [], ["plain"]])
def test_without_pkce_nobody_is_sent(methods: Any) -> None:
    with pytest.raises(OAuthError, match="PKCE"):
        begun(code_challenge_methods_supported=methods)


def test_a_server_may_have_no_page() -> None:
    with pytest.raises(OAuthError, match="no page"):
        begun(authorization_endpoint=None)


def test_the_code() -> None:
    pending = begun()
    assert code_from(back(pending, code="x"), pending.state, pending.kept) == "x"
    assert code_from(back(pending, code="x", iss=ISSUER), pending.state, pending.kept) == "x"
    assert state_of(back(pending)) == pending.state


@pytest.mark.parametrize(
    "url", ["", "nonsense", "https://x/?state=a&state=b", "http://[", "https://x/?" + "a&" * 99]
)
def test_odd_callbacks_have_no_state(url: str) -> None:
    pending = begun()
    assert state_of(url) is None
    with pytest.raises(OAuthError):
        code_from(url, pending.state, pending.kept)


def test_another_state_is_refused() -> None:
    pending = begun()
    with pytest.raises(OAuthError, match="no sign-in that waits"):
        code_from(f"{REDIRECT}?state=ä&code=x", pending.state, pending.kept)


@pytest.mark.parametrize("issuer", ["https://evil.example", f"{ISSUER}/", ""])
def test_another_issuer_is_not_listened_to(issuer: str) -> None:
    pending = begun()
    with pytest.raises(OAuthError, match="does not come from") as caught:
        code_from(back(pending, iss=issuer, error="do_this"), pending.state, pending.kept)
    assert "do_this" not in str(caught.value)


def test_an_issuer_that_promised_its_name_has_to_give_it() -> None:
    pending = begun(authorization_response_iss_parameter_supported=True)
    with pytest.raises(OAuthError, match="does not come from"):
        code_from(back(pending, code="x"), pending.state, pending.kept)


def test_the_user_may_say_no() -> None:
    pending = begun()
    with pytest.raises(OAuthError, match="access_denied \\(not today\\)"):
        code_from(
            back(pending, error="access_denied", error_description="not today"), pending.state, pending.kept
        )
    with pytest.raises(OAuthError, match=r"in: access_denied$"):
        code_from(back(pending, error="access_denied"), pending.state, pending.kept)


@pytest.mark.parametrize("rest", ["", "&code=", "&code=a&code=b"])
def test_one_code_is_wanted(rest: str) -> None:
    pending = begun()
    with pytest.raises(OAuthError, match="code"):
        code_from(back(pending) + rest, pending.state, pending.kept)


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("error=access_denied", "access_denied"),
        ("error=access_denied&error_description=not%0Atoday", "access_denied (not today)"),
        ("code=x", None),
    ],
)
def test_a_refusal_is_read_without_a_state(query: str, refusal: str | None) -> None:
    assert refusal_in(f"{REDIRECT}?{query}") == refusal


def test_the_form_for_a_code() -> None:
    pending = begun()
    assert exchange_form("x", pending.kept) == {
        "grant_type": "authorization_code",
        "code": "x",
        "redirect_uri": REDIRECT,
        "code_verifier": pending.kept["verifier"],
        "resource": ENDPOINT,
    }
    assert "resource" not in exchange_form("x", begun(resource=None).kept)
    assert pending.state not in repr(pending)
