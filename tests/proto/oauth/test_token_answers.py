"""What authorization servers answer at the token endpoint, and what becomes of the tokens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.client_auth import BASIC, Client
from routermcp_proto.oauth.steps import HTTPAnswer, HTTPStep, InvalidGrantError, TokenError
from routermcp_proto.oauth.tokens import MAX_ACCESS_TOKEN_BYTES, TokenEndpoint, Tokens
from tests.proto.oauth.world import ENDPOINT, ISSUER, Chance, Party, World, answer, form_of

CHANCE = Chance()


def signed_in(**settings: Any) -> Party:
    party = Party(**settings)
    assert challenged(party)
    return party


def challenged(party: Party) -> bool:
    return party.world.drive(party.authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt()))


def asked(document: Any, status: int = 200, client: Client | None = None) -> Tokens:
    world = World()
    world.handlers[f"{ISSUER}/token"] = lambda _: answer(status, document)
    endpoint = TokenEndpoint(ISSUER, f"{ISSUER}/token", client, CHANCE.random, CHANCE.now)
    return world.drive(endpoint.ask({}))


def refuses_renewal(party: Party, refusal: HTTPAnswer) -> None:
    """Let the server refuse each renewal, and give other tokens to users who sign in."""

    def token(step: HTTPStep) -> HTTPAnswer:
        if form_of(step)["grant_type"] == "refresh_token":
            return refusal
        return answer(document={"access_token": "access-2"})

    party.world.handlers[f"{ISSUER}/token"] = token


# ---- success and failure by content -------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 203, 299])
def test_any_status_of_success_will_do(status: int) -> None:
    assert asked({"access_token": "a"}, status).access_token == "a"


@pytest.mark.parametrize("kind", [None, ""])
def test_a_token_without_a_type_is_a_plain_one(kind: str | None) -> None:
    assert asked({"access_token": "a", "token_type": kind}).token_type == "bearer"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"error": "bad_code", "error_description": "expired"}, r"bad_code \(expired\)"),
        ({"ok": False, "error": "invalid_code"}, "invalid_code"),
        ({"ok": False}, "HTTP 200"),
        ({"error": {"code": "E7", "message": "no such code"}}, r"E7 \(no such code\)"),
        ({"error": {"code": 7, "type": "grant"}}, "grant"),
        ({"error": {"code": 7}, "detail": "why"}, r"HTTP 200 \(why\)"),
        ({"access_token": "a", "error": "consent_needed"}, "consent_needed"),
    ],
)  # fmt: skip
def test_an_error_may_come_with_a_status_of_success(document: Any, reason: str) -> None:
    with pytest.raises(TokenError, match=f"gave no token: {reason}$"):
        asked(document)


@pytest.mark.parametrize("member", ["message", "detail", "error_message", "error_description"])
def test_a_refusal_in_the_words_of_a_framework_is_shown(member: str) -> None:
    with pytest.raises(TokenError, match=r"HTTP 422 \(code is too old\)"):
        asked({member: "code is too old"}, 422)


def test_a_token_has_to_fit_into_a_header() -> None:
    assert asked({"access_token": "a" * MAX_ACCESS_TOKEN_BYTES}).access_token
    with pytest.raises(OAuthError, match=f"8193 bytes, and at most {MAX_ACCESS_TOKEN_BYTES} fit"):
        asked({"access_token": "a" * (MAX_ACCESS_TOKEN_BYTES + 1)})


# ---- the client shown in another way -------------------------------------------------------------------


@pytest.mark.parametrize("error", ["invalid_client", "invalid_request"])
@pytest.mark.parametrize("helps", [True, False])
def test_a_client_that_is_refused_is_shown_once_in_another_way(error: str, helps: bool) -> None:
    world = World()

    def token(step: HTTPStep) -> HTTPAnswer:
        form = form_of(step)
        good = "client_secret" in form if error == "invalid_client" else "client_id" not in form
        if good and helps:
            return answer(document=world.token)
        return answer(401, {"error": "invalid_grant" if good else error, "error_description": "first"})

    world.handlers[f"{ISSUER}/token"] = token
    endpoint = TokenEndpoint(ISSUER, f"{ISSUER}/token", Client("c", "hush", BASIC), CHANCE.random, CHANCE.now)
    if helps:
        assert world.drive(endpoint.ask({})).access_token == "access-1"
    else:
        with pytest.raises(TokenError, match=error):
            world.drive(endpoint.ask({}))
    assert len(world.steps) == 2


@pytest.mark.parametrize("method", ["secret in the form", "nothing"])
def test_a_server_that_reads_the_form_only_may_call_that_an_invalid_request(method: str) -> None:
    world = World()

    def token(step: HTTPStep) -> HTTPAnswer:
        if method == "nothing" or "client_secret" not in form_of(step):
            return answer(400, {"error": "invalid_request", "error_description": "no client credentials"})
        return answer(document=world.token)

    world.handlers[f"{ISSUER}/token"] = token
    endpoint = TokenEndpoint(ISSUER, f"{ISSUER}/token", Client("c", "hush", BASIC), CHANCE.random, CHANCE.now)
    if method == "nothing":
        with pytest.raises(TokenError, match="no client credentials"):
            world.drive(endpoint.ask({}))
    else:
        assert world.drive(endpoint.ask({})).access_token == "access-1"
    assert len(world.steps) == 3


@pytest.mark.parametrize(("status", "error"), [(400, "invalid_grant"), (500, "invalid_client"), (403, None)])
def test_other_refusals_are_final(status: int, error: str | None) -> None:
    world = World()
    world.handlers[f"{ISSUER}/token"] = lambda _: answer(status, {"error": error})
    client = Client("c", "hush", BASIC)
    with pytest.raises(TokenError):
        world.drive(TokenEndpoint(ISSUER, f"{ISSUER}/token", client, CHANCE.random, CHANCE.now).ask({}))
    assert len(world.steps) == 1


@pytest.mark.parametrize("error", ["invalid_request", "invalid_target"])
def test_a_renewal_may_have_to_do_without_the_resource(error: str) -> None:
    party = signed_in()

    def token(step: HTTPStep) -> HTTPAnswer:
        return (
            answer(400, {"error": error})
            if "resource" in form_of(step)
            else answer(document={"access_token": "access-2"})
        )

    party.world.handlers[f"{ISSUER}/token"] = token
    party.world.drive(party.authorizer.renew())
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-2"}


# ---- renewals that are refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [
        answer(400, {"error": "invalid_grant"}),
        answer(400, {"error": "invalid_request"}),
        answer(400, {"error": "token_revoked"}),
        answer(401, {"error": "invalid_token"}),
        answer(403, {"error": "unauthorized_client", "error_description": "refresh_token is invalid"}),
        answer(404, {"message": "no such session"}),
        answer(410),
        answer(422, {"detail": [{"msg": "stale"}]}),
        answer(200, {"error": "bad_refresh_token"}),
        answer(200, {"ok": False, "error": "token_expired"}),
        HTTPAnswer(401, {"content-type": "text/html"}, b"<html>Unauthorized"),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"client_id": "mine"}])
def test_a_renewal_that_is_refused_in_whatever_words_asks_the_user_once(
    refusal: HTTPAnswer, settings: dict[str, Any]
) -> None:
    party = signed_in(**settings)
    refuses_renewal(party, refusal)
    with pytest.raises(InvalidGrantError):
        party.world.drive(party.authorizer.renew())
    assert party.authorizer.tokens is None
    assert not party.authorizer.due
    assert challenged(party)
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-2"}
    # What may be said of the resource is asked once more without it.
    shown = 2 if b"invalid_request" in refusal.body else 1
    assert [form["grant_type"] for form in party.world.forms()].count("refresh_token") == shown


@pytest.mark.parametrize(
    "answered",
    [
        *[answer(status) for status in (302, 307, 408, 425, 429, 500, 502, 503, 504)],
        answer(200, {"ok": False, "error": "ratelimited"}),
        answer(200, {"error": "temporarily_unavailable"}),
        answer(400, {"error": "slow_down"}),
        answer(400, {"error": "use_dpop_nonce"}),
        HTTPAnswer(200, {}, b"<html>Welcome to our network"),
    ],
)
def test_a_server_that_cannot_renew_just_now_costs_no_tokens(answered: HTTPAnswer) -> None:
    party = signed_in()
    refuses_renewal(party, answered)
    with pytest.raises(OAuthError) as caught:
        challenged(party)
    assert not isinstance(caught.value, InvalidGrantError)
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-1"}
    assert len(party.world.visits) == 1


@pytest.mark.parametrize("error", ["invalid_client", "incorrect_client_credentials", "bad_client_secret"])
def test_a_secret_that_was_given_wrongly_costs_no_tokens(error: str) -> None:
    party = signed_in(client_id="mine", client_secret="hush")
    refuses_renewal(party, answer(401, {"error": error}))
    with pytest.raises(TokenError, match=error):
        challenged(party)
    assert party.authorizer.tokens is not None
    assert json.dumps(party.registrations).count("mine") == 1
