"""The token endpoint."""

from __future__ import annotations

import json
import pickle
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.client_auth import BASIC, PRIVATE_KEY, Client
from routermcp_proto.oauth.dpop import MAX_NONCES, Prover
from routermcp_proto.oauth.steps import HTTPAnswer, HTTPStep, InvalidGrantError, TokenError, seconds
from routermcp_proto.oauth.tokens import (
    MAX_LIFE_SECONDS,
    TokenEndpoint,
    Tokens,
    refresh_tokens,
    revoke_tokens,
)
from tests.proto.oauth.world import ISSUER, Chance, PlainSigner, World, answer, form_of

CHANCE = Chance()


def token_endpoint(
    client: Client | None = None, *, prover: bool = False, signer: bool = False
) -> TokenEndpoint:
    proving = Prover(PlainSigner(), CHANCE.random, CHANCE.now) if prover else None
    return TokenEndpoint(
        ISSUER,
        f"{ISSUER}/token",
        client,
        CHANCE.random,
        CHANCE.now,
        proving,
        PlainSigner() if signer else None,
    )


def asked(document: Any, status: int = 200) -> Tokens:
    world = World()
    world.handlers[f"{ISSUER}/token"] = lambda _: answer(status, document)
    return world.drive(token_endpoint(Client("c")).ask({"grant_type": "x"}, ("asked",)))


def test_a_good_answer() -> None:
    tokens = asked(
        {"access_token": "a", "token_type": "BEARER", "expires_in": 10, "refresh_token": "r", "scope": "x y"}
    )
    now = CHANCE.now()
    assert tokens == Tokens("a", "bearer", ISSUER, now, now + 10, "r", ("x", "y"))


def test_what_may_be_missing() -> None:
    assert asked({"access_token": "a"}) == Tokens("a", "bearer", ISSUER, CHANCE.now(), None, None, ("asked",))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("60", 60.0), (60.5, 60.5), (-1, 0.0), (1e300, MAX_LIFE_SECONDS), (True, None), ("x", None),
     (None, None), ([], None), ("nan", None), (10**400, None)],
)  # fmt: skip
def test_lives_of_tokens(value: Any, expected: float | None) -> None:
    world = World()
    body = json.dumps({"access_token": "a", "expires_in": value}).encode()
    world.handlers[f"{ISSUER}/token"] = lambda _: HTTPAnswer(200, {}, body)
    expires_at = world.drive(token_endpoint().ask({})).expires_at
    assert expires_at == (None if expected is None else CHANCE.now() + expected)


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"access_token": ""}, {"access_token": 7}, {"access_token": "a\nb"}, {"access_token": "ä"},
     {"access_token": "a", "token_type": "mac"}, {"access_token": "a", "token_type": 7}],
)  # fmt: skip
def test_answers_of_no_use(document: Any) -> None:
    with pytest.raises(OAuthError, match=ISSUER):
        asked(document)


def test_refusals_have_their_code() -> None:
    with pytest.raises(TokenError, match="invalid_client \\(who\\)") as caught:
        asked({"error": "invalid_client", "error_description": "who"}, 401)
    assert caught.value.error == "invalid_client"
    assert pickle.loads(pickle.dumps(caught.value)).error == "invalid_client"
    with pytest.raises(InvalidGrantError):
        asked({"error": "invalid_grant"}, 400)
    with pytest.raises(TokenError, match="HTTP 502"):
        asked(None, 502)


def test_the_clients_key_signs_an_assertion() -> None:
    world = World()
    world.drive(token_endpoint(Client("c", None, PRIVATE_KEY), signer=True).ask({"grant_type": "x"}))
    claims = PlainSigner.read(world.forms()[0]["client_assertion"])
    assert {name: claims[name] for name in ("iss", "sub", "aud")} == {"iss": "c", "sub": "c", "aud": ISSUER}
    assert claims["iat"] < claims["exp"]
    world.drive(token_endpoint(Client("c", "s", BASIC), signer=True).ask({}))
    assert "client_assertion" not in world.forms()[1]


def test_a_nonce_is_shown_once_with_a_new_proof() -> None:
    world = World()
    proofs: list[dict[str, Any]] = []

    def token(step: HTTPStep) -> HTTPAnswer:
        proofs.append(PlainSigner.read(step.headers["DPoP"]))
        if "nonce" not in proofs[-1] or len(proofs) > 2:
            return answer(400, {"error": "use_dpop_nonce"}, dpop_nonce="n")
        return answer(document={"access_token": "a", "token_type": "DPoP"})

    world.handlers[f"{ISSUER}/token"] = token
    assert world.drive(token_endpoint(prover=True).ask({})).token_type == "dpop"
    assert proofs[1]["nonce"] == "n"
    assert proofs[0]["jti"] != proofs[1]["jti"]
    with pytest.raises(TokenError, match="use_dpop_nonce"):
        world.drive(token_endpoint(prover=True).ask({}))
    assert len(proofs) == 4


def test_a_nonce_that_comes_with_tokens_is_for_the_next_ones() -> None:
    world, asking = World(), token_endpoint(prover=True)
    world.handlers[f"{ISSUER}/token"] = lambda _: answer(document=world.token, dpop_nonce="later")
    for _ in range(2):
        world.drive(asking.ask({}))
    proofs = [PlainSigner.read(step.headers["DPoP"]) for step in world.steps]
    assert [proof.get("nonce") for proof in proofs] == [None, "later"]


def test_nonces_of_many_places_are_forgotten() -> None:
    prover = Prover(PlainSigner(), CHANCE.random, CHANCE.now)
    for number in range(MAX_NONCES + 1):
        prover.note_nonce(f"https://a.example/{number}?query", "n")
    nonces = [PlainSigner.read(prover.proof("GET", f"https://a.example/{n}")).get("nonce") for n in (0, 1)]
    assert nonces == [None, "n"]


def test_an_assertion_that_a_server_gives_back_is_not_shown() -> None:
    world = World()
    world.handlers[f"{ISSUER}/token"] = lambda step: answer(
        400, {"error": "invalid_client", "error_description": form_of(step)["client_assertion"]}
    )
    with pytest.raises(TokenError, match=r"invalid_client \(\*\*\*\)"):
        world.drive(token_endpoint(Client("c", None, PRIVATE_KEY), signer=True).ask({}))


@pytest.mark.parametrize("secret", ["s", "s/s +"])
def test_a_secret_that_a_server_gives_back_is_not_shown(secret: str) -> None:
    """In whichever way it writes that."""
    world = World()

    def token(step: HTTPStep) -> HTTPAnswer:
        shown = [
            step.headers.get("Authorization", "- -").split()[1],
            quote_plus(secret),
            quote(secret, safe=""),
        ]
        return answer(400, {"error": "invalid_client", "error_description": "; ".join(["no", *shown])})

    world.handlers[f"{ISSUER}/token"] = token
    with pytest.raises(TokenError, match=r"\(no; \*\*\*; \*\*\*; \*\*\*\)$"):
        world.drive(token_endpoint(Client("client", secret, BASIC)).ask({}))


@pytest.mark.parametrize(
    ("life", "early", "least"),
    [(3600, 60, 1.4), (100, 20, 1.4), (5, 1.4, 1.4), (2, 1.4, 1.4), (1, 0.7, 0.7), (0, 0, 0)],
)
def test_when_to_renew(life: float, early: float, least: float) -> None:
    tokens = Tokens("a", "bearer", ISSUER, 1000.0, 1000.0 + life)
    assert not tokens.due(1000.0 + life - early - 0.01)
    assert tokens.due(1000.0 + life - early)
    assert not tokens.ending(1000.0 + life - least - 0.01)
    assert tokens.ending(1000.0 + life - least)
    endless = Tokens("a", "bearer", ISSUER, 0)
    assert not endless.due(1e12)
    assert not endless.ending(1e12)


def test_requests_that_spend_something_say_so() -> None:
    world = World()
    world.drive(refresh_tokens(token_endpoint(Client("c")), Tokens("a", "bearer", ISSUER, 0, 1, "r"), None))
    world.drive(token_endpoint(Client("c")).ask({"grant_type": "authorization_code", "code": "c"}))
    world.drive(token_endpoint(Client("c")).ask({"grant_type": "client_credentials"}))
    world.drive(
        revoke_tokens(f"{ISSUER}/revoke", token_endpoint(), Tokens("a", "bearer", ISSUER, 0, None, "r"))
    )
    assert [step.spends for step in world.steps] == [True, True, False, False, False]


def test_renewing_keeps_a_refresh_token_that_is_not_replaced() -> None:
    world = World()
    old = Tokens("a", "bearer", ISSUER, 0, 1, "r", ("s",))
    world.token = {"access_token": "b"}
    renewed = world.drive(refresh_tokens(token_endpoint(Client("c")), old, "https://r/"))
    assert (renewed.access_token, renewed.refresh_token, renewed.scope) == ("b", "r", ("s",))
    assert world.forms()[0] == {
        "grant_type": "refresh_token", "refresh_token": "r", "resource": "https://r/", "client_id": "c",
    }  # fmt: skip
    world.token["refresh_token"] = "r2"
    assert world.drive(refresh_tokens(token_endpoint(), old, None)).refresh_token == "r2"
    assert "resource" not in world.forms()[1]


def test_there_may_be_nothing_to_renew_with() -> None:
    with pytest.raises(InvalidGrantError):
        World().drive(refresh_tokens(token_endpoint(), Tokens("a", "bearer", ISSUER, 0), None))


def test_giving_back() -> None:
    world = World()
    world.drive(
        revoke_tokens(
            f"{ISSUER}/revoke", token_endpoint(Client("c")), Tokens("a", "bearer", ISSUER, 0, None, "r")
        )
    )
    assert [form_of(step)["token"] for step in world.steps] == ["r", "a"]
    world.drive(revoke_tokens(f"{ISSUER}/revoke", token_endpoint(), Tokens("a", "bearer", ISSUER, 0)))
    assert form_of(world.steps[-1]) == {"token": "a", "token_type_hint": "access_token"}


def test_tokens_are_kept_as_json() -> None:
    tokens = Tokens("a", "dpop", ISSUER, 1.0, 2.0, "r", ("x", "y"))
    assert Tokens.from_json(json.loads(json.dumps(tokens.to_json()))) == tokens
    for odd in (None, [], {}, {"access_token": "a"}, {"access_token": "", "issuer": "i"}):
        assert Tokens.from_json(odd) is None
    kept = {"access_token": "a", "issuer": "i", "refresh_token": 7, "expires_at": "x", "scope": None}
    assert Tokens.from_json(kept) == Tokens("a", "bearer", "i", 0.0)


def test_nothing_secret_shows() -> None:
    tokens = Tokens("hush-a", "bearer", ISSUER, 0, None, "hush-r")
    step = HTTPStep("POST", "https://x/", {"Authorization": "hush"}, b"hush")
    assert "hush" not in repr((tokens, step, HTTPAnswer(200, {"x": "hush"}, b"hush")))


def test_numbers_of_seconds() -> None:
    assert seconds("1e400") is None
    assert seconds(5) == 5.0
