"""One user at one endpoint."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from routermcp_proto.exceptions import AuthorizationRequiredError, OAuthError
from routermcp_proto.oauth.authorizer import MAX_RENEWALS, MAX_SIGN_INS, AuthAttempt
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.metadata import AuthorizationServer
from routermcp_proto.oauth.records import MAX_PENDING_SIGN_INS, GrantRecord
from routermcp_proto.oauth.steps import HTTPAnswer, HTTPStep, InvalidGrantError, TokenError
from tests.proto.oauth.world import (
    ENDPOINT,
    ISSUER,
    REDIRECT,
    RESOURCE_METADATA,
    SERVER_METADATA,
    Party,
    PlainSigner,
    answer,
    form_of,
)

BEARER = Challenge("bearer")
OTHER = "https://other.example"


def refused(
    party: Party,
    status: int = 401,
    challenge: Challenge | tuple[Challenge, ...] = BEARER,
    attempt: AuthAttempt | None = None,
) -> bool:
    challenges = challenge if isinstance(challenge, tuple) else (challenge,)
    return party.world.drive(party.authorizer.challenged(status, challenges, attempt or AuthAttempt()))


def signed_in(**settings: Any) -> Party:
    party = Party(**settings)
    assert refused(party)
    return party


def scope_of(url: str) -> str | None:
    return parse_qs(urlsplit(url).query).get("scope", [None])[0]


def test_a_sign_in_from_beginning_to_end() -> None:
    party = signed_in()
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-1"}
    assert party.world.asked()[2:] == [f"{ISSUER}/register", f"{ISSUER}/token"]
    assert party.world.forms()[0]["code"] == "code-1"
    assert party.registrations[ISSUER]["client_id"] == "registered"
    assert json.loads(json.dumps(party.authorizer.record.members))["tokens"]["access_token"] == "access-1"


def test_without_tokens_nothing_goes_along() -> None:
    assert Party().authorizer.headers("POST", ENDPOINT) == {}
    assert not Party().authorizer.due


def test_a_refusal_without_a_challenge_counts_as_one() -> None:
    party = Party()
    assert party.world.drive(party.authorizer.challenged(401, (), AuthAttempt()))


@pytest.mark.parametrize(
    ("status", "challenge"),
    [
        (403, BEARER),
        (403, Challenge("basic")),
        (403, Challenge("bearer", {"error": "access_denied"})),
        (400, BEARER),
        (402, BEARER),
    ],
)
def test_refusals_that_are_about_something_else(status: int, challenge: Challenge) -> None:
    party = signed_in()
    party.world.steps.clear()
    assert not refused(party, status, challenge)
    assert party.world.steps == []


@pytest.mark.parametrize(
    ("status", "challenges"),
    [
        (401, (Challenge("basic", {"realm": "x"}),)),
        (401, (Challenge("oauth"), Challenge("apikey"))),
        (403, ()),
        (403, (BEARER,)),
        (403, (Challenge("basic"),)),
        (400, (Challenge("bearer", {"error": "invalid_token"}),)),
        (403, (Challenge("bearer", {"error": "invalid_token"}),)),
    ],
)
def test_a_missing_token_is_refused_in_many_ways(status: int, challenges: tuple[Challenge, ...]) -> None:
    party = Party()
    assert refused(party, status, challenges)
    assert party.authorizer.tokens is not None


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_of_another_scheme_that_publishes_nothing_is_left_alone(status: int) -> None:
    party = Party()
    party.world.handlers.clear()
    assert not refused(party, status, Challenge("basic"))
    with pytest.raises(OAuthError):
        refused(party, 401, BEARER)


def test_a_server_that_cannot_serve_is_passed_over() -> None:
    for missing in ("registration_endpoint", "authorization_endpoint", "code_challenge_methods_supported"):
        party = Party()
        moves(party)
        party.world.resource["authorization_servers"] = [ISSUER, OTHER]
        del party.world.server[missing]
        assert refused(party)
        assert party.world.visits[0].startswith(OTHER)
    # Tokens are for one server: while they last, no other one is asked.
    party = signed_in()
    moves(party)
    party.world.resource["authorization_servers"] = [OTHER, ISSUER]
    party.world.handlers[SERVER_METADATA] = lambda _: answer(503)
    with pytest.raises(OAuthError, match="503"):
        refused(party)
    assert party.authorizer.tokens is not None


def test_who_comes_back_is_known_by_the_spelling_of_the_metadata() -> None:
    party = Party()
    party.world.resource["authorization_servers"] = [f"{ISSUER}/"]
    party.world.callback["iss"] = ISSUER
    assert refused(party)
    party.world.callback["iss"] = f"{ISSUER}/"
    with pytest.raises(OAuthError, match="does not come from"):
        refused(party, 403, Challenge("bearer", {"error": "insufficient_scope", "scope": "more"}))


def test_odd_members_that_are_not_needed_are_told_and_left_aside() -> None:
    party = Party(client_id="mine")
    party.world.server |= {"revocation_endpoint": "http://auth.example/revoke", "registration_endpoint": 7}
    assert refused(party)
    registration, revocation = party.authorizer.notes()
    passed_over = f"passed over in the metadata of {ISSUER}"
    assert registration == f"{passed_over}: registration_endpoint is missing or no text"
    assert revocation.startswith(f"{passed_over}: revocation_endpoint is not https: http://auth.example")
    assert party.authorizer.notes() == []
    other = Party()
    other.world.server["registration_endpoint"] = "ftp://auth.example/register"
    with pytest.raises(OAuthError, match=r"by itself \(registration_endpoint is no URL.*client_id="):
        refused(other)


def test_an_issuer_is_the_same_with_the_slash_of_its_root() -> None:
    party = Party(client_id="mine", server=AuthorizationServer(f"{ISSUER}/"))
    party.world.resource["authorization_servers"] = [f"{ISSUER}/"]
    assert refused(party)
    # The browser's answer is compared with the spelling of the metadata.
    party.world.callback["iss"] = f"{ISSUER}/"
    with pytest.raises(OAuthError, match="does not come from"):
        party.world.drive(party.authorizer.complete(party.world.comes_back(begun(party))))
    party.world.callback["iss"] = ISSUER
    party.world.drive(party.authorizer.complete(party.world.comes_back(begun(party))))


def begun(party: Party) -> str:
    return party.world.drive(party.authorizer.begin()).url


def test_a_fresh_token_that_is_refused_is_not_replaced() -> None:
    party, attempt = Party(), AuthAttempt()
    assert refused(party, attempt=attempt)
    assert not refused(party, attempt=attempt)
    assert len(party.world.visits) == 1


def test_a_token_is_renewed_before_a_user_is_asked() -> None:
    party = signed_in()
    party.world.token = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 10}
    attempt = AuthAttempt()
    for _ in range(MAX_RENEWALS):
        assert refused(party, attempt=attempt)
        assert len(party.world.visits) == 1
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-2"}
    assert refused(party, attempt=attempt)
    assert len(party.world.visits) == 2


def test_what_cannot_be_renewed_is_signed_in_anew() -> None:
    party = signed_in()

    def token(step: HTTPStep) -> HTTPAnswer:
        if form_of(step)["grant_type"] == "refresh_token":
            return answer(400, {"error": "invalid_grant"})
        return answer(document={"access_token": "access-2"})

    party.world.handlers[f"{ISSUER}/token"] = token
    assert refused(party)
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-2"}
    assert party.authorizer.record.tokens is not None


# ---- renewing ahead ------------------------------------------------------------------------------


def test_tokens_are_renewed_ahead_of_their_end() -> None:
    party = signed_in()
    assert not party.authorizer.due
    party.chance.time += 3600 - 60
    assert party.authorizer.due
    assert not party.authorizer.ending
    party.chance.time += 59
    assert party.authorizer.ending
    party.world.token = {"access_token": "access-2", "expires_in": 3600}
    party.world.steps.clear()
    party.world.drive(party.authorizer.renew())
    assert party.world.asked() == [f"{ISSUER}/token"]
    assert party.world.forms()[0]["resource"] == ENDPOINT
    assert not party.authorizer.due


def test_a_token_without_a_way_to_renew_it_is_never_due() -> None:
    party = Party()
    del party.world.token["refresh_token"]
    refused(party)
    party.chance.time += 1e6
    assert not party.authorizer.due
    assert not party.authorizer.ending


def test_what_was_done_is_told_once() -> None:
    party = signed_in()
    assert party.authorizer.audit_events() == ["obtain"]
    party.world.drive(party.authorizer.renew())
    party.world.drive(party.authorizer.revoke())
    assert party.world.kept == 1  # before anything is asked of a server
    assert party.authorizer.audit_events() == ["refresh", "revoke"]
    assert party.authorizer.audit_events() == []
    refused(party)
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(400, {"error": "invalid_grant"})
    party.authorizer.audit_events()
    with pytest.raises(InvalidGrantError):
        party.world.drive(party.authorizer.renew())
    assert party.authorizer.audit_events() == []


def test_what_was_withdrawn_is_forgotten() -> None:
    party = signed_in()
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(400, {"error": "invalid_grant"})
    with pytest.raises(InvalidGrantError):
        party.world.drive(party.authorizer.renew())
    assert party.authorizer.headers("POST", ENDPOINT) == {}
    with pytest.raises(InvalidGrantError, match="no tokens to renew"):
        party.world.drive(party.authorizer.renew())


def test_a_server_that_is_down_costs_no_tokens() -> None:
    party = signed_in()
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(503)
    with pytest.raises(TokenError, match="503"):
        party.world.drive(party.authorizer.renew())
    assert party.authorizer.headers("POST", ENDPOINT)


def test_a_record_of_another_endpoint_counts_for_nothing() -> None:
    party = signed_in()
    party.authorizer.record.members["endpoint"] = OTHER
    assert party.authorizer.headers("POST", ENDPOINT) == {}


# ---- scopes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("challenged", "supported", "wished", "server", "expected"),
    [
        ("a b", ["c"], (), None, "a b"),
        (None, ["c", "d"], (), None, "c d"),
        (None, None, (), ["offline_access"], None),
        (None, ["c"], ("w",), ["offline_access", "c"], "c w offline_access"),
        (None, None, ("w",), None, "w"),
    ],
)
def test_which_scopes_are_asked_for(
    challenged: str | None, supported: Any, wished: tuple[str, ...], server: Any, expected: str | None
) -> None:
    party = Party(scope=wished)
    party.world.resource["scopes_supported"] = supported
    party.world.server["scopes_supported"] = server
    refused(party, challenge=Challenge("bearer", {"scope": challenged} if challenged else {}))
    assert scope_of(party.world.visits[0]) == expected


@pytest.mark.parametrize(("exact", "expected"), [(("read",), "read"), (("read", "x"), "read x"), ((), None)])
def test_exactly_the_scopes_that_were_given_are_asked_for(
    exact: tuple[str, ...], expected: str | None
) -> None:
    party = Party(exact_scope=exact)
    party.world.resource["scopes_supported"] = ["read", "write", "admin"]
    party.world.server["scopes_supported"] = ["offline_access"]
    party.world.token["scope"] = "read"
    assert refused(party, challenge=Challenge("bearer", {"scope": "read write"}))
    asked_again = refused(party, 403, too_little("admin"))
    assert asked_again is (exact == ("read", "x"))
    assert {scope_of(url) for url in party.world.visits} == {expected}


@pytest.mark.parametrize(
    ("resource", "expected"), [(False, None), ("api://mine", "api://mine"), (None, ENDPOINT)]
)
def test_the_resource_is_left_out_or_set(resource: Any, expected: str | None) -> None:
    party = signed_in(resource=resource)
    party.world.drive(party.authorizer.renew())
    assert parse_qs(urlsplit(party.world.visits[0]).query).get("resource", [None])[0] == expected
    assert [form.get("resource") for form in party.world.forms()] == [expected, expected]


def too_little(scope: str) -> Challenge:
    return Challenge("bearer", {"error": "insufficient_scope", "scope": scope})


def test_more_is_asked_for_beside_what_there_is() -> None:
    party = Party()
    refused(party, challenge=Challenge("bearer", {"scope": "a"}))
    assert refused(party, 403, too_little("b"))
    assert scope_of(party.world.visits[1]) == "a b"


def test_what_is_there_already_is_not_asked_for() -> None:
    party = Party()
    refused(party, challenge=Challenge("bearer", {"scope": "a"}))
    assert not refused(party, 403, too_little("a"))
    assert len(party.world.visits) == 1


def test_asking_for_more_has_an_end() -> None:
    party, attempt = Party(), AuthAttempt()
    asked = [refused(party, 403, too_little(f"scope-{number}"), attempt) for number in range(9)]
    assert asked.count(True) == MAX_SIGN_INS == len(party.world.visits)


# ---- who asks --------------------------------------------------------------------------------------


def client_id(party: Party) -> str:
    return parse_qs(urlsplit(party.world.visits[-1]).query)["client_id"][0]


def test_a_registration_is_used_again() -> None:
    party = signed_in()
    party.authorizer.record = GrantRecord()
    refused(party)
    assert party.world.asked().count(f"{ISSUER}/register") == 1


def test_a_registration_that_does_not_fit_is_made_anew() -> None:
    party = signed_in()
    party.registrations[ISSUER]["redirect_uri"] = "http://127.0.0.1:6000/callback"
    party.authorizer.record = GrantRecord()
    refused(party)
    party.registrations[ISSUER]["client_secret_expires_at"] = 1
    party.authorizer.record = GrantRecord()
    refused(party)
    assert party.world.asked().count(f"{ISSUER}/register") == 3


def test_a_client_that_was_registered_by_hand() -> None:
    assert client_id(signed_in(client_id="mine", client_secret="s")) == "mine"
    assert client_id(signed_in(client_id="mine", server=AuthorizationServer(ISSUER))) == "mine"
    with pytest.raises(OAuthError, match=r"issuer= says https://other\.example: nothing was sent"):
        signed_in(client_id="mine", client_secret="s", server=AuthorizationServer(OTHER))


def test_a_secret_is_for_the_server_where_it_was_used_first() -> None:
    party = signed_in(client_id="mine", client_secret="s")
    moves(party)
    with pytest.raises(OAuthError, match=f"mine is for {ISSUER}"):
        refused(party)
    assert [url for url in party.world.asked() if url.startswith(f"{OTHER}/token")] == []


def test_the_server_that_knows_the_client_is_preferred() -> None:
    for first in (Party(client_id="mine", server=AuthorizationServer(ISSUER)), signed_in()):
        moves(first)
        first.world.resource["authorization_servers"] = [OTHER, ISSUER]
        refused(first)
        assert [url for url in first.world.asked() if url.startswith(OTHER)] == []


def test_an_application_is_registered_again_for_more_than_before() -> None:
    party = Party()
    registered: list[Any] = []

    def register(step: HTTPStep) -> HTTPAnswer:
        registered.append(json.loads(step.body).get("scope"))
        return answer(201, {"client_id": f"client-{len(registered)}"})

    party.world.handlers[f"{ISSUER}/register"] = register
    party.world.token["scope"] = "a"
    refused(party, challenge=Challenge("bearer", {"scope": "a"}))
    more = Challenge("bearer", {"error": "insufficient_scope", "scope": "b"})
    refused(party, 403, more)
    refused(party, 403, more)
    assert registered == ["a", "a b"]
    assert client_id(party) == "client-2"


@pytest.mark.parametrize("error", ["invalid_client", "unauthorized_client"])
def test_a_server_that_has_forgotten_the_application_registers_it_again(error: str) -> None:
    party = signed_in()

    def token(step: HTTPStep) -> HTTPAnswer:
        if form_of(step)["grant_type"] == "refresh_token":
            return answer(401, {"error": error})
        return answer(document={"access_token": "access-2"})

    party.world.handlers[f"{ISSUER}/token"] = token
    assert refused(party)
    assert party.world.asked().count(f"{ISSUER}/register") == 2
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-2"}
    # Another user may have registered it anew meanwhile.
    party = signed_in()
    party.registrations[ISSUER]["client_id"] = "newer"
    party.world.handlers[f"{ISSUER}/token"] = token
    assert refused(party)
    assert party.world.asked().count(f"{ISSUER}/register") == 1


def test_nobody_else_can_register_what_was_registered_by_hand() -> None:
    party = signed_in(client_id="mine", client_secret="s")
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(401, {"error": "invalid_client"})
    with pytest.raises(TokenError, match="invalid_client"):
        refused(party)


def test_other_errors_of_renewing_cost_nothing() -> None:
    party = signed_in()
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(500)
    with pytest.raises(TokenError, match="HTTP 500"):
        refused(party)
    assert party.authorizer.tokens is not None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_costs_no_tokens(status: int) -> None:
    party = signed_in()
    party.world.handlers[RESOURCE_METADATA] = lambda _: answer(status)
    party.world.steps.clear()
    with pytest.raises(OAuthError, match=f"cannot be had now: HTTP {status}"):
        refused(party)
    assert party.authorizer.tokens is not None
    assert not any(step.method == "POST" for step in party.world.steps)


def test_a_server_that_describes_itself_no_more_costs_nothing_either() -> None:
    party = signed_in()
    del party.world.handlers[RESOURCE_METADATA]
    for issuer in (ISSUER, "no URL"):
        party.authorizer.record.members["issuer"] = issuer
        with pytest.raises(OAuthError, match="describes itself nowhere"):
            refused(party)
    assert party.authorizer.tokens is not None


def test_where_the_server_describes_itself_is_remembered() -> None:
    party = Party()
    del party.world.handlers[RESOURCE_METADATA]
    named = "https://mcp.example/custom"
    party.world.handlers[named] = lambda _: answer(document=party.world.resource)
    refused(party, challenge=Challenge("bearer", {"resource_metadata": named}))
    party.world.drive(party.authorizer.begin())
    assert party.world.asked().count(named) == 2
    # By another process, too, but not for another endpoint that the record was kept for.
    other = Party(party.authorizer.record.members)
    other.world.handlers = party.world.handlers
    other.world.drive(other.authorizer.begin())
    assert other.world.asked() == [named, SERVER_METADATA, f"{ISSUER}/register"]
    moved = Party({**party.authorizer.record.members, "endpoint": "https://old.example/mcp"})
    moved.world.drive(moved.authorizer.begin())
    assert named not in moved.world.asked()


def test_a_server_is_asked_where_it_describes_itself() -> None:
    party = Party()
    del party.world.handlers[RESOURCE_METADATA]
    named = "https://mcp.example/custom"
    party.world.handlers[named] = lambda _: answer(document=party.world.resource)
    challenge = f'Bearer resource_metadata="{named}"'
    party.world.handlers[ENDPOINT] = lambda _: answer(401, www_authenticate=challenge)
    pending = party.world.drive(party.authorizer.begin())
    assert pending.url.startswith(f"{ISSUER}/authorize?")
    party.world.drive(party.authorizer.complete(party.world.comes_back(pending.url)))
    assert party.authorizer.record.text("resource_metadata") == named


def test_scopes_that_were_asked_for_once_are_asked_for_again() -> None:
    party = Party()
    party.world.server["scopes_supported"] = ["offline_access"]
    party.world.token["scope"] = "a"  # the server says nothing of offline_access
    refused(party, challenge=Challenge("bearer", {"scope": "a"}))
    refused(party, 403, Challenge("bearer", {"error": "insufficient_scope", "scope": "b"}))
    party.world.handlers[f"{ISSUER}/token"] = lambda step: (
        answer(400, {"error": "invalid_grant"})
        if form_of(step)["grant_type"] == "refresh_token"
        else answer(document=party.world.token)
    )
    refused(party, challenge=Challenge("bearer", {"scope": "a"}))
    assert [scope_of(url) for url in party.world.visits] == [
        "a offline_access",
        "a offline_access b",
        "a offline_access b",
    ]
    party.world.drive(party.authorizer.revoke())
    refused(party, challenge=Challenge("bearer", {"scope": "a"}))
    assert scope_of(party.world.visits[-1]) == "a offline_access"


def test_who_is_refused_again_and_again_is_sent_to_one_page() -> None:
    party = Party(interactive=False)
    urls: set[str | None] = set()

    def knock() -> None:
        with pytest.raises(AuthorizationRequiredError) as caught:
            refused(party)
        urls.add(caught.value.url)

    for _ in range(MAX_PENDING_SIGN_INS + 2):
        knock()
    (url,) = urls
    assert url is not None
    party.world.drive(party.authorizer.complete(party.world.comes_back(url)))
    assert party.authorizer.tokens is not None
    party.authorizer.record.forget_tokens()
    party.chance.time += 1
    knock()
    assert len(urls) == 2
    party.chance.time += 400  # too late to begin with it
    knock()
    assert len(urls) == 3


def moves(party: Party) -> None:
    """Let the MCP server name another authorization server."""
    party.world.resource["authorization_servers"] = [OTHER]
    moved = {name: str(value).replace(ISSUER, OTHER) for name, value in party.world.server.items()}
    moved |= {"code_challenge_methods_supported": ["S256"], "token_endpoint_auth_methods_supported": ["none"]}
    party.world.handlers |= {
        f"{OTHER}/.well-known/oauth-authorization-server": lambda _: answer(document=moved),
        f"{OTHER}/register": lambda _: answer(201, {"client_id": "new"}),
        f"{OTHER}/token": lambda _: answer(document={"access_token": "new-token"}),
    }


def test_a_client_that_is_a_document() -> None:
    party = Party(metadata_url="https://app.example/client.json")
    party.world.server["client_id_metadata_document_supported"] = True
    refused(party)
    assert client_id(party) == "https://app.example/client.json"
    assert client_id(signed_in(metadata_url="https://app.example/client.json")) == "registered"


def test_nothing_of_the_old_server_goes_to_the_new_one() -> None:
    party = signed_in()
    moves(party)
    party.world.steps.clear()
    assert refused(party)
    assert [url for url in party.world.asked() if url.startswith(ISSUER)] == []
    assert client_id(party) == "new"
    assert b"refresh-1" not in b"".join(step.body for step in party.world.steps)
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer new-token"}


# ---- users who are not there -------------------------------------------------------------------------


def test_a_user_who_cannot_be_asked() -> None:
    party = Party(interactive=False)
    with pytest.raises(AuthorizationRequiredError) as caught:
        refused(party)
    assert caught.value.url is not None
    # Another process takes the answer, which knows the record only.
    elsewhere = Party(json.loads(json.dumps(party.authorizer.record.members)))
    elsewhere.world.drive(elsewhere.authorizer.complete(party.world.comes_back(caught.value.url)))
    assert elsewhere.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-1"}


def test_an_answer_counts_once_and_in_time() -> None:
    party = Party()
    pending = party.world.drive(party.authorizer.begin())
    callback = party.world.comes_back(pending.url)
    party.world.drive(party.authorizer.complete(callback))
    with pytest.raises(OAuthError, match="too late, or twice"):
        party.world.drive(party.authorizer.complete(callback))
    late = party.world.drive(party.authorizer.begin())
    party.chance.time += 3600
    with pytest.raises(OAuthError, match="too late, or twice"):
        party.world.drive(party.authorizer.complete(party.world.comes_back(late.url)))


def test_a_damaged_record_is_said_to_be_one() -> None:
    party = Party()
    pending = party.world.drive(party.authorizer.begin())
    party.authorizer.record.members["pending"][pending.state]["client"] = 7
    with pytest.raises(OAuthError, match="cannot be read"):
        party.world.drive(party.authorizer.complete(party.world.comes_back(pending.url)))


def test_sign_ins_that_wait_are_few() -> None:
    party = Party()
    for _ in range(MAX_PENDING_SIGN_INS + 2):
        party.chance.time += 1
        last = party.world.drive(party.authorizer.begin())
    waiting = party.authorizer.record.members["pending"]
    assert len(waiting) == MAX_PENDING_SIGN_INS
    assert last.state in waiting


def test_without_a_way_to_ask_that_is_said() -> None:
    with pytest.raises(OAuthError, match="no way to ask"):
        refused(Party(redirect_uri=None))


# ---- giving back ----------------------------------------------------------------------------------


def test_consent_is_withdrawn() -> None:
    party = signed_in()
    party.world.steps.clear()
    party.world.drive(party.authorizer.revoke())
    assert [form_of(step)["token"] for step in party.world.steps] == ["refresh-1", "access-1"]
    assert party.authorizer.record.revoked
    assert party.authorizer.headers("POST", ENDPOINT) == {}
    refused(party)
    assert not party.authorizer.record.revoked


def test_a_server_may_take_nothing_back() -> None:
    party = Party()
    del party.world.server["revocation_endpoint"]
    refused(party)
    party.world.steps.clear()
    party.world.drive(party.authorizer.revoke())
    party.world.drive(Party().authorizer.revoke())
    assert party.world.steps == []


# ---- proofs of possession ------------------------------------------------------------------------------


def bound(**settings: Any) -> Party:
    party = Party(signer=PlainSigner(), **settings)
    party.world.server["dpop_signing_alg_values_supported"] = ["ES256"]
    party.world.resource["dpop_signing_alg_values_supported"] = ["ES256"]
    party.world.token["token_type"] = "DPoP"
    refused(party)
    return party


def test_each_request_has_a_proof_of_its_own() -> None:
    party = bound()
    first, second = (party.authorizer.headers("POST", f"{ENDPOINT}?q=1#f") for _ in range(2))
    assert first["Authorization"] == "DPoP access-1"
    proofs = [PlainSigner.read(each["DPoP"]) for each in (first, second)]
    assert proofs[0]["jti"] != proofs[1]["jti"]
    assert (proofs[0]["htm"], proofs[0]["htu"]) == ("POST", ENDPOINT)
    assert proofs[0]["ath"] == proofs[1]["ath"]
    assert "DPoP" in party.world.steps[-1].headers


def test_renewing_shows_the_key_too() -> None:
    party = bound()
    party.world.drive(party.authorizer.renew())
    assert "DPoP" in party.world.steps[-1].headers


def test_a_nonce_asks_for_no_new_sign_in() -> None:
    party = bound()
    wanted = (Challenge("dpop", {"error": "use_dpop_nonce"}),)
    first, second = AuthAttempt(), AuthAttempt()
    assert party.authorizer.hear(wanted, "n", first) is True
    assert PlainSigner.read(party.authorizer.headers("POST", ENDPOINT)["DPoP"])["nonce"] == "n"
    # Another request was on its way without it.
    assert party.authorizer.hear(wanted, "n", second) is True
    assert party.authorizer.hear(wanted, "n", first) is False
    assert party.authorizer.hear(wanted, None, first) is False
    assert party.authorizer.hear((BEARER,), None, first) is None
    assert len(party.world.visits) == 1
    both = (Challenge("bearer", {"resource_metadata": "https://x/"}), *wanted)
    assert party.authorizer.hear(both, "m", first) is True
    party.authorizer.note_nonce("o")
    assert PlainSigner.read(party.authorizer.headers("POST", ENDPOINT)["DPoP"])["nonce"] == "o"
    Party().authorizer.note_nonce("nobody signs anything")


def test_a_challenge_may_ask_for_proofs() -> None:
    party = Party(signer=PlainSigner())
    refused(party, challenge=Challenge("dpop"))
    assert "DPoP" in party.world.steps[-1].headers


PROOFS = {"dpop_signing_alg_values_supported": ["RS256", "ES256"]}
BOTH = (BEARER, Challenge("dpop"))


@pytest.mark.parametrize(
    ("server", "resource", "challenge", "settings", "expected"),
    [
        ({}, {}, BEARER, {}, False),
        (PROOFS, {}, BEARER, {}, False),  # Keycloak, Okta: they could
        (PROOFS, PROOFS, BEARER, {}, True),
        ({}, PROOFS, BEARER, {}, False),
        (PROOFS, {"dpop_signing_alg_values_supported": ["PS256"]}, BEARER, {}, False),
        (PROOFS, {}, BOTH, {}, True),
        ({}, {}, BOTH, {}, False),
        ({}, {}, Challenge("dpop"), {}, True),
        ({}, {"dpop_bound_access_tokens_required": True}, BEARER, {}, True),
        (PROOFS, {}, BEARER, {"prefers_dpop": True}, True),
        ({}, {}, BEARER, {"prefers_dpop": True}, False),
    ],
)
def test_tokens_are_bound_where_the_mcp_server_asks_for_that(
    server: dict[str, Any], resource: dict[str, Any], challenge: Any, settings: Any, expected: bool
) -> None:
    party = Party(signer=PlainSigner(), **settings)
    party.world.server |= server
    party.world.resource |= resource
    assert refused(party, challenge=challenge)
    assert ("DPoP" in party.world.steps[-1].headers) is expected


def test_a_server_that_takes_plain_tokens_only_gets_one() -> None:
    """Also of a user whose tokens were bound by an earlier version; a fresh one is tried first."""
    party = bound()
    del party.world.resource["dpop_signing_alg_values_supported"]
    attempt = AuthAttempt()
    assert refused(party, attempt=attempt)
    assert len(party.world.visits) == 1
    party.world.token = {"access_token": "plain"}
    assert refused(party, attempt=attempt)
    assert "DPoP" not in party.world.steps[-1].headers
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer plain"}
    assert not refused(party, attempt=attempt)
    assert len(party.world.visits) == 2


@pytest.mark.parametrize("settings", [{}, {"prefers_dpop": True}])
def test_a_bound_token_that_was_wrongly_offered_is_replaced_once(settings: Any) -> None:
    party = Party(signer=PlainSigner(), **settings)
    party.world.server |= PROOFS
    party.world.resource |= PROOFS
    party.world.token = {"access_token": "bound", "token_type": "DPoP"}
    attempt = AuthAttempt()
    assert refused(party, attempt=attempt)
    party.world.token = {"access_token": "plain"}
    assert refused(party, attempt=attempt)
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer plain"}
    assert not refused(party, attempt=attempt)


def test_a_bound_token_that_is_refused_for_another_reason_is_not_replaced() -> None:
    party = Party(signer=PlainSigner())
    party.world.server |= PROOFS
    party.world.token = {"access_token": "bound", "token_type": "DPoP"}
    attempt = AuthAttempt()
    assert refused(party, challenge=BOTH, attempt=attempt)
    assert not refused(party, challenge=BOTH, attempt=attempt)


def test_a_server_that_insists_on_bound_tokens_gets_no_plain_one() -> None:
    party = Party(signer=PlainSigner())
    party.world.resource["dpop_bound_access_tokens_required"] = True
    party.world.token = {"access_token": "bound", "token_type": "DPoP"}
    attempt = AuthAttempt()
    assert [refused(party, attempt=attempt) for _ in range(3)] == [True, True, False]
    assert all("DPoP" in step.headers for step in party.world.steps if step.url == f"{ISSUER}/token")


def test_without_a_key_a_server_that_insists_is_refused() -> None:
    party = Party()
    party.world.resource["dpop_bound_access_tokens_required"] = True
    with pytest.raises(OAuthError, match=r"routermcp\[oauth\]"):
        refused(party)


def test_a_bound_token_is_of_no_use_without_its_key() -> None:
    party = bound()
    without = Party(party.authorizer.record.members)
    assert without.authorizer.headers("POST", ENDPOINT) == {}


# ---- records ---------------------------------------------------------------------------------------


def test_members_that_are_not_known_stay() -> None:
    party = Party({"of_others": {"x": 1}})
    refused(party)
    party.world.drive(party.authorizer.revoke())
    assert party.authorizer.record.members["of_others"] == {"x": 1}


def test_a_record_does_not_show_what_it_holds() -> None:
    party = signed_in()
    assert repr(party.authorizer.record) == "<GrantRecord with tokens>"
    assert repr(GrantRecord()) == "<GrantRecord without tokens>"
    assert repr(GrantRecord({"revoked": True})) == "<GrantRecord revoked>"


def test_odd_members_count_as_none() -> None:
    record = GrantRecord({"pending": 7, "client": [], "tokens": "x", "issuer": 7})
    assert (record.tokens, record.client, record.text("issuer")) == (None, None, None)
    record.members["pending"] = {"a": 7, "b": {"expires_at": "x"}}
    assert record.take_pending("a", 0) is None
    record.add_pending("c", {"expires_at": 9}, 1)
    assert list(record.members["pending"]) == ["c"]
    assert [record.awaits("c", now) for now in (8, 9)] == [True, False]
    assert not record.awaits("a", 0)
    assert [record.pending(state) for state in ("c", "a")] == [{"expires_at": 9}, {}]
    record.members["signed_in"] = 7
    for number in range(10):
        record.note_signed_in(str(number))
    assert [record.signed_in(state) for state in ("1", "2", "9", "x")] == [False, True, True, False]


def test_the_place_of_metadata_is_taken_from_the_challenge() -> None:
    party = Party()
    named = "https://mcp.example/custom"
    party.world.handlers[named] = party.world.handlers.pop(RESOURCE_METADATA)
    assert refused(party, challenge=Challenge("bearer", {"resource_metadata": named}))
    assert party.world.asked()[0] == named
    assert party.world.visits[0].startswith(f"{ISSUER}/authorize")
    assert REDIRECT.replace(":", "%3A").replace("/", "%2F") in party.world.visits[0]
