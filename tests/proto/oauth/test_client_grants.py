"""Signing in without a user."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.client_auth import BASIC, POST, PRIVATE_KEY, Client
from routermcp_proto.oauth.client_grants import (
    ID_JAG,
    JWT_BEARER,
    ClientCredentials,
    ClientGrant,
    EnterpriseManaged,
    WorkloadIdentity,
)
from routermcp_proto.oauth.steps import TokenError
from tests.proto.oauth.world import (
    ENDPOINT,
    ISSUER,
    RESOURCE_METADATA,
    SERVER_METADATA,
    Party,
    PlainSigner,
    answer,
    form_of,
)

IDENTITY = "https://idp.example/token"


def signed_in(grant: Any, *, answers: Any = None, **settings: Any) -> Party:
    party = Party(redirect_uri=None, grant=grant, **settings)
    party.world.handlers[IDENTITY] = lambda _: (
        answers or answer(document={"access_token": "jag", "issued_token_type": ID_JAG})
    )
    assert party.world.drive(party.authorizer.challenged(401, (), AuthAttempt()))
    return party


def test_an_application_in_its_own_name() -> None:
    party = signed_in(ClientCredentials(Client("c", "s", POST)), scope=("x",))
    assert party.world.forms() == [
        {
            "grant_type": "client_credentials",
            "scope": "x",
            "resource": ENDPOINT,
            "client_id": "c",
            "client_secret": "s",
        }
    ]
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-1"}


def test_by_a_private_key() -> None:
    party = signed_in(ClientCredentials(Client("c", None, PRIVATE_KEY), PlainSigner()))
    assert PlainSigner.read(party.world.forms()[0]["client_assertion"])["aud"] == ISSUER


def test_a_workload() -> None:
    party = signed_in(WorkloadIdentity(lambda: "platform-jwt"))
    assert party.world.forms() == [
        {"grant_type": JWT_BEARER, "resource": ENDPOINT, "assertion": "platform-jwt"}
    ]


def test_a_workload_asks_once() -> None:
    party = Party(redirect_uri=None, grant=WorkloadIdentity("platform-jwt"))
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(400, {"error": "invalid_grant"})
    with pytest.raises(TokenError):
        signed_in_again(party)
    assert len(party.world.forms()) == 1


def signed_in_again(party: Party) -> None:
    party.world.drive(party.authorizer.challenged(401, (), AuthAttempt()))


def enterprise(**changes: Any) -> EnterpriseManaged:
    return EnterpriseManaged(
        **{
            "client": Client("c", "s", BASIC),
            "identity_client_id": "at-idp",
            "identity_token_endpoint": IDENTITY,
            "id_token": "id-token",
            **changes,
        }
    )


def test_an_enterprise() -> None:
    party = signed_in(enterprise(), scope=("x",))
    exchange = form_of(next(step for step in party.world.steps if step.url == IDENTITY))
    assert exchange["audience"] == ISSUER
    assert exchange["resource"] == ENDPOINT
    assert (exchange["subject_token"], exchange["client_id"], exchange["scope"]) == (
        "id-token",
        "at-idp",
        "x",
    )
    assert party.world.forms()[0]["assertion"] == "jag"


def test_steps_to_the_authorization_server_are_told_from_all_others() -> None:
    party = signed_in(enterprise())
    ours = {step.url for step in party.world.steps if step.to_server}
    assert ours == {SERVER_METADATA, f"{ISSUER}/token"}
    assert {step.url for step in party.world.steps} - ours == {RESOURCE_METADATA, IDENTITY}


def test_an_identity_provider_may_want_a_secret() -> None:
    party = signed_in(enterprise(identity_client_secret="hush"))
    step = next(step for step in party.world.steps if step.url == IDENTITY)
    assert step.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("answers", "words"),
    [(answer(400, {"error": "invalid_grant"}), "invalid_grant"), (answer(document={}), "something else"),
     (answer(document={"access_token": "x", "issued_token_type": "y"}), "something else")],
)  # fmt: skip
def test_an_identity_provider_may_refuse(answers: Any, words: str) -> None:
    with pytest.raises(OAuthError, match=words):
        signed_in(enterprise(), answers=answers)


def test_an_old_server_names_no_resource() -> None:
    party = Party(redirect_uri=None, grant=ClientCredentials(Client("c", "s", POST)))
    own = {"issuer": "https://mcp.example", "token_endpoint": "https://mcp.example/token"}
    party.world.handlers = {
        "https://mcp.example/.well-known/oauth-authorization-server": lambda _: answer(document=own),
        "https://mcp.example/token": lambda _: answer(document=party.world.token),
    }
    signed_in_again(party)
    assert "resource" not in form_of(party.world.steps[-1])


def test_no_secret_goes_where_it_was_guessed_to() -> None:
    party = Party(redirect_uri=None, grant=ClientCredentials(Client("c", "s", POST)))
    party.world.handlers = {"https://mcp.example/token": lambda _: answer(document=party.world.token)}
    with pytest.raises(OAuthError, match="describes itself nowhere"):
        signed_in_again(party)
    assert not any(step.method == "POST" for step in party.world.steps)


@pytest.mark.parametrize(
    ("grant", "refusal"),
    [
        (ClientCredentials(Client("c", "s", POST)), f"c is for {ISSUER}"),
        (ClientCredentials(Client("c", "s", POST), issuer=ISSUER), f"issuer= says {ISSUER}"),
        (WorkloadIdentity("word"), f"the assertion is for {ISSUER}"),
    ],
)
def test_credentials_are_for_one_authorization_server(grant: ClientGrant, refusal: str) -> None:
    party = Party(redirect_uri=None, grant=grant)
    signed_in_again(party)
    other = "https://other.example"
    moved = {**party.world.server, "issuer": other, "token_endpoint": f"{other}/token"}
    party.world.resource["authorization_servers"] = [other]
    party.world.handlers[f"{other}/.well-known/oauth-authorization-server"] = lambda _: answer(document=moved)
    with pytest.raises(OAuthError, match=refusal):
        signed_in_again(party)
    assert f"{other}/token" not in party.world.asked()


def test_a_refresh_token_is_not_used_by_who_can_ask_anew() -> None:
    party = Party(redirect_uri=None, grant=ClientCredentials(Client("c", "s", POST)))
    party.world.server["scopes_supported"] = ["x", "offline_access"]
    party.world.resource["scopes_supported"] = ["x"]
    signed_in_again(party)
    signed_in_again(party)
    party.world.drive(party.authorizer.renew())
    assert [form["grant_type"] for form in party.world.forms()] == ["client_credentials"] * 3
    assert {form["scope"] for form in party.world.forms()} == {"x"}


@pytest.mark.parametrize("key", [False, True])
def test_tokens_are_given_back_by_who_has_asked_for_them(key: bool) -> None:
    client = Client("c", None, PRIVATE_KEY) if key else Client("c", "s", POST)
    party = Party(redirect_uri=None, grant=ClientCredentials(client, PlainSigner() if key else None))
    signed_in_again(party)
    party.world.steps.clear()
    party.world.drive(party.authorizer.revoke())
    form = form_of(party.world.steps[-1])
    assert form["client_id"] == "c"
    assert "client_assertion" in form if key else form["client_secret"] == "s"


def test_what_an_identity_provider_gives_back_is_not_shown() -> None:
    party = Party(redirect_uri=None, grant=enterprise(identity_client_secret="hush-1", id_token="hush-2"))
    said = {"error": "invalid_request", "error_description": "bad hush-2 of hush-1"}
    party.world.handlers[IDENTITY] = lambda _: answer(400, said)
    with pytest.raises(OAuthError, match="bad") as caught:
        signed_in_again(party)
    assert "hush" not in str(caught.value)


def test_renewing_is_signing_in_again() -> None:
    party = Party(redirect_uri=None, grant=ClientCredentials(Client("c", "s", POST)))
    del party.world.token["refresh_token"]
    signed_in_again(party)
    party.chance.time += 3600
    assert party.authorizer.due
    party.world.token["access_token"] = "access-2"
    party.world.drive(party.authorizer.renew())
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-2"}


def test_nothing_secret_shows() -> None:
    assert "hush" not in repr((enterprise(id_token="hush"), WorkloadIdentity("hush")))
